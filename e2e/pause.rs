//! Keeps the namespaces of a sandbox alive. The runtime ends it.
fn main() {
    loop {
        std::thread::park();
    }
}
