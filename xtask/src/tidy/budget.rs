//! Sizes: a function has at most 100 lines and six parameters, a file at most 1,000 lines; 60 and 600 are the aim.

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::Visit;

use super::sources::Source;

const FUNCTION_LINES: usize = 100;
const FUNCTION_AIM: usize = 60;
const FILE_LINES: usize = 1000;
const FILE_AIM: usize = 600;
const PARAMETERS: usize = 6;
/// Of all functions, this many in a thousand may be longer than the aim.
const OVER_AIM_PER_MILLE: usize = 20;

/// Exceptions: `path` or `path::function`, with the reason.
const ALLOWED: &[(&str, &str)] = &[];

/// Findings, one a line.
pub fn check(sources: &[Source]) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut functions = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            findings.push((
                source.path.clone(),
                format!("{}: {lines} lines; {FILE_LINES} at most", source.path),
            ));
        } else if lines > FILE_AIM {
            eprintln!(
                "tidy: note: {} has {lines} lines; {FILE_AIM} is the aim",
                source.path
            );
        }
        functions.extend(measure(source)?);
    }
    let over = functions.iter().filter(|f| f.lines > FUNCTION_AIM).count();
    if over * 1000 > functions.len() * OVER_AIM_PER_MILLE {
        findings.push((
            "functions".into(),
            format!("{over} of {} functions have over {FUNCTION_AIM} lines; {OVER_AIM_PER_MILLE} in 1000 at most", functions.len()),
        ));
    }
    findings.extend(functions.iter().filter_map(Function::finding));
    let used: Vec<&str> = findings.iter().map(|(key, _)| key.as_str()).collect();
    let stale = ALLOWED.iter().filter(|(key, _)| !used.contains(key));
    let stale: Vec<String> = stale
        .map(|(key, _)| format!("{key}: needs no exception; remove it from budget.rs"))
        .collect();
    let open = findings
        .into_iter()
        .filter(|(key, _)| !ALLOWED.iter().any(|(allowed, _)| allowed == key));
    Ok(open.map(|(_, text)| text).chain(stale).collect())
}

struct Function {
    key: String,
    line: usize,
    lines: usize,
    parameters: usize,
}

impl Function {
    fn finding(&self) -> Option<(String, String)> {
        let text = if self.lines > FUNCTION_LINES {
            format!(
                "{} (line {}): {} lines; {FUNCTION_LINES} at most",
                self.key, self.line, self.lines
            )
        } else if self.parameters > PARAMETERS {
            format!(
                "{} (line {}): {} parameters; {PARAMETERS} at most",
                self.key, self.line, self.parameters
            )
        } else {
            return None;
        };
        Some((self.key.clone(), text))
    }
}

fn measure(source: &Source) -> Result<Vec<Function>> {
    let file = syn::parse_file(&source.text)
        .with_context(|| format!("failed to parse {}", source.path))?;
    let mut visitor = Visitor {
        path: &source.path,
        found: Vec::new(),
    };
    visitor.visit_file(&file);
    Ok(visitor.found)
}

struct Visitor<'a> {
    path: &'a str,
    found: Vec<Function>,
}

impl Visitor<'_> {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (start, end) = (signature.span().start().line, block.span().end().line);
        self.found.push(Function {
            key: format!("{}::{}", self.path, signature.ident),
            line: start,
            lines: end + 1 - start,
            parameters: signature.inputs.len(),
        });
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| {
        a.path().is_ident("cfg")
            && a.parse_args::<syn::Ident>()
                .is_ok_and(|ident| ident == "test")
    })
}
