//! Metrics whose labels can only be enum variants, so that no client, domain or address ever becomes a time series.
//!
//! A role declares its metrics in one struct and builds it once:
//! ```
//! use mailpods_telemetry::metrics::{Counter, Label, MetricsError, Registry};
//!
//! #[derive(Clone, Copy)]
//! enum Outcome { Accepted, Refused }
//! impl Label for Outcome {
//!     fn as_str(&self) -> &'static str {
//!         match self { Outcome::Accepted => "accepted", Outcome::Refused => "refused" }
//!     }
//! }
//! struct Metrics { messages: Counter<Outcome> }
//! impl Metrics {
//!     fn new(registry: &Registry) -> Result<Self, MetricsError> {
//!         Ok(Self { messages: registry.counter("mailpods_smtp_messages_total", "Messages by outcome.", &["outcome"])? })
//!     }
//! }
//! # fn main() -> Result<(), MetricsError> {
//! let metrics = Metrics::new(&Registry::new())?;
//! metrics.messages.inc(Outcome::Accepted);
//! # Ok(()) }
//! ```

use std::marker::PhantomData;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, TextEncoder};

/// Buckets for how long something took, in seconds: 0.5 ms to two minutes, about a factor of 2.5 apart.
pub const LATENCY_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 120.0,
];
/// Buckets for long waits such as time in the queue, in seconds: one second to five days.
pub const WAIT_SECONDS: &[f64] = &[
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0, 432_000.0,
];
/// Buckets for sizes, in octets: 1 KiB to 64 MiB by factors of four.
pub const SIZE_OCTETS: &[f64] = &[
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Buckets for small counts such as recipients of a message: 1 to 1000.
pub const COUNT: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// Why a metric could not be registered or printed; always a mistake in the program.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The number of label names is not the number of label values.
    #[error("failed to register metric `{metric}`: {names} label names for {values} label values")]
    Arity {
        /// The metric's name.
        metric: String,
        /// Label names given.
        names: usize,
        /// Values that the label type yields.
        values: usize,
    },
    /// The name is malformed or taken.
    #[error("failed to register metric `{metric}`")]
    Register {
        /// The metric's name.
        metric: String,
        /// What prometheus says.
        source: prometheus::Error,
    },
    /// The exposition text could not be written.
    #[error("failed to encode the metrics")]
    Encode(#[source] prometheus::Error),
}

/// A label value: an enum whose variants have fixed names.
pub trait Label {
    /// The label value, lower-case with underscores.
    fn as_str(&self) -> &'static str;
}

/// One label, a tuple of up to three, or `()`.
pub trait Labels {
    /// How many labels there are.
    const COUNT: usize;
    /// Calls `with` with the values in order.
    fn values<T>(&self, with: impl FnOnce(&[&'static str]) -> T) -> T;
}

impl Labels for () {
    const COUNT: usize = 0;
    fn values<T>(&self, with: impl FnOnce(&[&'static str]) -> T) -> T {
        with(&[])
    }
}

impl<A: Label> Labels for A {
    const COUNT: usize = 1;
    fn values<T>(&self, with: impl FnOnce(&[&'static str]) -> T) -> T {
        with(&[self.as_str()])
    }
}

impl<A: Label, B: Label> Labels for (A, B) {
    const COUNT: usize = 2;
    fn values<T>(&self, with: impl FnOnce(&[&'static str]) -> T) -> T {
        with(&[self.0.as_str(), self.1.as_str()])
    }
}

impl<A: Label, B: Label, C: Label> Labels for (A, B, C) {
    const COUNT: usize = 3;
    fn values<T>(&self, with: impl FnOnce(&[&'static str]) -> T) -> T {
        with(&[self.0.as_str(), self.1.as_str(), self.2.as_str()])
    }
}

/// A number that only grows.
#[derive(Clone, Debug)]
pub struct Counter<L: Labels = ()> {
    inner: IntCounterVec,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Counter<L> {
    /// Adds one.
    pub fn inc(&self, labels: L) {
        self.add(labels, 1);
    }

    /// Adds `count`.
    pub fn add(&self, labels: L, count: u64) {
        labels.values(|values| self.inner.with_label_values(values).inc_by(count));
    }

    /// The value now.
    pub fn get(&self, labels: L) -> u64 {
        labels.values(|values| self.inner.with_label_values(values).get())
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug)]
pub struct Gauge<L: Labels = ()> {
    inner: IntGaugeVec,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Gauge<L> {
    /// Sets the value.
    pub fn set(&self, labels: L, value: i64) {
        labels.values(|values| self.inner.with_label_values(values).set(value));
    }

    /// Adds `delta`, which may be negative.
    pub fn add(&self, labels: L, delta: i64) {
        labels.values(|values| self.inner.with_label_values(values).add(delta));
    }

    /// Adds one until the guard is dropped: sessions, work in flight.
    #[must_use]
    pub fn hold(&self, labels: L) -> GaugeGuard {
        let gauge = labels.values(|values| self.inner.with_label_values(values));
        gauge.inc();
        GaugeGuard(gauge)
    }

    /// The value now.
    pub fn get(&self, labels: L) -> i64 {
        labels.values(|values| self.inner.with_label_values(values).get())
    }
}

/// Counts one in a [`Gauge`] for as long as it lives.
#[derive(Debug)]
pub struct GaugeGuard(prometheus::IntGauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A distribution over fixed buckets.
#[derive(Clone, Debug)]
pub struct Histogram<L: Labels = ()> {
    inner: HistogramVec,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Histogram<L> {
    /// Adds one observation, in the unit of the metric's name.
    pub fn observe(&self, labels: L, value: f64) {
        labels.values(|values| self.inner.with_label_values(values).observe(value));
    }

    /// Adds one duration, in seconds.
    pub fn observe_duration(&self, labels: L, duration: Duration) {
        self.observe(labels, duration.as_secs_f64());
    }

    /// How many observations there are.
    pub fn count(&self, labels: L) -> u64 {
        labels.values(|values| self.inner.with_label_values(values).get_sample_count())
    }
}

/// The metrics of one process. Clones share the same set.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    inner: prometheus::Registry,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the process itself uses: resident memory, CPU time, open file descriptors, start time, version.
    ///
    /// # Errors
    /// [`MetricsError::Register`] when called twice.
    pub fn with_process_metrics(self, version: &str) -> Result<Self, MetricsError> {
        crate::process::register(&self, version)?;
        Ok(self)
    }

    /// Registers a counter; its name ends in `_total`.
    ///
    /// # Errors
    /// A name that is malformed or taken, or label names that do not fit `L`.
    pub fn counter<L: Labels>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Counter<L>, MetricsError> {
        check_arity::<L>(name, labels)?;
        let inner = IntCounterVec::new(Opts::new(name, help), labels)
            .map_err(|source| register_error(name, source))?;
        self.register(name, Box::new(inner.clone()))?;
        let counter = Counter {
            inner,
            labels: PhantomData,
        };
        // A counter without labels is shown as 0 from the start, so that rates exist from the first scrape.
        if L::COUNT == 0 {
            counter.inner.with_label_values::<&str>(&[]);
        }
        Ok(counter)
    }

    /// Registers a gauge.
    ///
    /// # Errors
    /// A name that is malformed or taken, or label names that do not fit `L`.
    pub fn gauge<L: Labels>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Gauge<L>, MetricsError> {
        check_arity::<L>(name, labels)?;
        let inner = IntGaugeVec::new(Opts::new(name, help), labels)
            .map_err(|source| register_error(name, source))?;
        self.register(name, Box::new(inner.clone()))?;
        Ok(Gauge {
            inner,
            labels: PhantomData,
        })
    }

    /// Registers a histogram with `buckets` (upper bounds, ascending): see [`LATENCY_SECONDS`], [`WAIT_SECONDS`],
    /// [`SIZE_OCTETS`] and [`COUNT`].
    ///
    /// # Errors
    /// A name that is malformed or taken, label names that do not fit `L`, or buckets out of order.
    pub fn histogram<L: Labels>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<Histogram<L>, MetricsError> {
        check_arity::<L>(name, labels)?;
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let inner =
            HistogramVec::new(opts, labels).map_err(|source| register_error(name, source))?;
        self.register(name, Box::new(inner.clone()))?;
        Ok(Histogram {
            inner,
            labels: PhantomData,
        })
    }

    /// Registers a gauge that is read at each scrape; `read` must be quick and must not block. `None` shows nothing.
    ///
    /// # Errors
    /// A name that is malformed or taken.
    pub fn observed_gauge(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let gauge =
            prometheus::Gauge::new(name, help).map_err(|source| register_error(name, source))?;
        self.register(name, Box::new(Observed { gauge, read }))
    }

    /// The Prometheus text exposition of everything registered.
    ///
    /// # Errors
    /// [`MetricsError::Encode`] when two collectors disagree about one metric.
    pub fn encode(&self) -> Result<String, MetricsError> {
        TextEncoder::new()
            .encode_to_string(&self.inner.gather())
            .map_err(MetricsError::Encode)
    }

    pub(crate) fn register(
        &self,
        name: &str,
        collector: Box<dyn Collector>,
    ) -> Result<(), MetricsError> {
        self.inner
            .register(collector)
            .map_err(|source| register_error(name, source))
    }
}

fn check_arity<L: Labels>(metric: &str, names: &[&str]) -> Result<(), MetricsError> {
    if names.len() == L::COUNT {
        return Ok(());
    }
    Err(MetricsError::Arity {
        metric: metric.to_owned(),
        names: names.len(),
        values: L::COUNT,
    })
}

pub(crate) fn register_error(metric: &str, source: prometheus::Error) -> MetricsError {
    MetricsError::Register {
        metric: metric.to_owned(),
        source,
    }
}

/// A gauge whose value is read when it is collected.
struct Observed<F> {
    gauge: prometheus::Gauge,
    read: F,
}

impl<F: Fn() -> Option<f64> + Send + Sync> Collector for Observed<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(value) = (self.read)() else {
            return Vec::new();
        };
        self.gauge.set(value);
        self.gauge.collect()
    }
}
