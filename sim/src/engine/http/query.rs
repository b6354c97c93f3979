//! The parameters of a request.

use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use crate::engine::state::Refusal;
use crate::engine::state::filter::Filters;

/// A decoded query string.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (decode(key), decode(value)))
                .collect(),
        )
    }

    /// A parameter's first value; empty when it is not there.
    pub(super) fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(known, _)| known == key).map_or("", |(_, value)| value)
    }

    /// A boolean parameter: everything is true but nothing, 0, no, false and none.
    pub(super) fn flag(&self, key: &str) -> bool {
        let value = self.get(key).trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A number; `None` when it is not there.
    ///
    /// # Errors
    /// 500 with Go's text for what is no number.
    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, Refusal> {
        match self.get(key) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Refusal::server(format!("strconv.Atoi: parsing \"{text}\": invalid syntax"))
            }),
        }
    }

    /// A date as seconds, with a fraction if need be; `None` when it is not there or 0.
    ///
    /// # Errors
    /// 500 with Go's text for what is no number.
    pub(super) fn date(&self, key: &str) -> Result<Option<Timestamp>, Refusal> {
        let text = self.get(key);
        if text.is_empty() || text == "0" {
            return Ok(None);
        }
        let invalid = |part: &str| {
            Refusal::server(format!("strconv.ParseInt: parsing \"{part}\": invalid syntax"))
        };
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let nanos = format!("{fraction:0<9}");
        let nanos = nanos.get(..9).and_then(|text| text.parse().ok());
        let nanos = nanos.ok_or_else(|| invalid(fraction))?;
        let seconds: i64 = seconds.parse().map_err(|_| invalid(seconds))?;
        Timestamp::new(seconds, nanos).map(Some).map_err(|_| invalid(text))
    }

    /// The `filters` parameter.
    ///
    /// # Errors
    /// As [`Filters::parse`].
    pub(super) fn filters(&self) -> Result<Filters, Refusal> {
        Filters::parse(self.get("filters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("name=a+b%2Fc&all=1&off=false&t=x&since=1.5&odd");
        assert_eq!(query.get("name"), "a b/c");
        assert!(query.flag("all") && !query.flag("off") && !query.flag("odd"));
        assert_eq!(query.number("all"), Ok(Some(1)));
        assert_eq!(query.number("none"), Ok(None));
        assert_eq!(
            query.number("t").unwrap_err().message,
            "strconv.Atoi: parsing \"x\": invalid syntax"
        );
        assert_eq!(query.date("since").unwrap().unwrap().as_millisecond(), 1500);
        assert_eq!(
            query.date("t").unwrap_err().message,
            "strconv.ParseInt: parsing \"x\": invalid syntax"
        );
    }
}
