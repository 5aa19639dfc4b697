//! [`Families`]: writes families of metrics, each with its help, type and unit.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::pool::Durations;

/// The name of a family without its unit, its unit, and what it means.
pub(super) type FamilyName = (&'static str, Option<Unit>, &'static str);

/// What the values of a label are, and their values.
pub(super) type Labelled<'a, T> = Vec<(&'a str, T)>;

/// Writes the families of a scrape. The first error ends it.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    fn begin(
        &mut self,
        family: &FamilyName,
        kind: MetricType,
        write: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let (name, unit, help) = family;
        write(self.0.encode_descriptor(name, help, unit.as_ref(), kind)?)
    }

    fn single(&mut self, family: &FamilyName, metric: &impl EncodeMetric) -> fmt::Result {
        self.begin(family, metric.metric_type(), |encoder| metric.encode(encoder))
    }

    fn labelled<T, M: EncodeMetric>(
        &mut self,
        family: &FamilyName,
        label: &str,
        values: Labelled<'_, T>,
        (kind, metric): (MetricType, impl Fn(T) -> M),
    ) -> fmt::Result {
        self.begin(family, kind, |mut encoder| {
            values.into_iter().try_for_each(|(name, value)| {
                metric(value).encode(encoder.encode_family(&[(label, name)])?)
            })
        })
    }

    /// A value that only rises. The suffix `_total` is added to the name.
    pub(super) fn counter(
        &mut self,
        family: &FamilyName,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.single(family, &ConstCounter::new(value))
    }

    /// One counter for each value of a label.
    pub(super) fn counters<T: EncodeCounterValue>(
        &mut self,
        family: &FamilyName,
        label: &str,
        values: Labelled<'_, T>,
    ) -> fmt::Result {
        self.labelled(family, label, values, (MetricType::Counter, ConstCounter::new))
    }

    /// A value that rises and falls.
    pub(super) fn gauge(
        &mut self,
        family: &FamilyName,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.single(family, &ConstGauge::new(value))
    }

    /// One gauge for each value of a label.
    pub(super) fn gauges<T: EncodeGaugeValue>(
        &mut self,
        family: &FamilyName,
        label: &str,
        values: Labelled<'_, T>,
    ) -> fmt::Result {
        self.labelled(family, label, values, (MetricType::Gauge, ConstGauge::new))
    }

    /// The number 1 with a text as its label. The suffix `_info` is added to the name.
    pub(super) fn info(&mut self, family: &FamilyName, label: &str, text: &str) -> fmt::Result {
        self.begin(family, MetricType::Info, |mut encoder| encoder.encode_info(&[(label, text)]))
    }

    /// Durations by their length, with their sum.
    pub(super) fn durations(&mut self, family: &FamilyName, durations: &Durations) -> fmt::Result {
        let bound = |bound: Option<std::time::Duration>| {
            bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64())
        };
        let buckets: Vec<_> =
            durations.buckets().map(|(upper, count)| (bound(upper), count)).collect();
        // Of the same moment as the buckets: the number of all is that of the last one.
        let (sum, count) = (durations.sum().as_secs_f64(), durations.count());
        self.begin(family, MetricType::Histogram, |mut encoder| {
            encoder.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
        })
    }
}
