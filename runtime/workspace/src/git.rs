pub(crate) const OLDEST: &str = "2.38";
