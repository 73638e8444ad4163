//! Lists in parts: sorted by name, continued behind the last name of the part before.

use crate::admin::problem::{Code, Problem};
use crate::admin::view::Page;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Items of a part if the caller does not say.
pub const DEFAULT: usize = 100;
/// Most items of a part.
pub const MOST: usize = 1000;

/// Which part of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Part {
    /// How many items, 1 to 1000; 100 if absent.
    pub limit: Option<usize>,
    /// The `next` of the part before.
    pub after: Option<String>,
    /// Only rows whose name holds this text, in any case.
    pub name: Option<String>,
}

impl Part {
    /// The size asked for, checked.
    pub fn limit(limit: Option<usize>) -> Result<usize, Problem> {
        match limit.unwrap_or(DEFAULT) {
            limit @ 1..=MOST => Ok(limit),
            limit => Err(Problem::new(Code::BadParameter, format!("limit is 1 to {MOST}, not {limit}"))),
        }
    }

    /// Cuts the part out of `items`. `name` tells an item's name.
    pub fn cut<T>(&self, items: impl IntoIterator<Item = T>, name: impl Fn(&T) -> &str) -> Result<Page<T>, Problem> {
        let limit = Self::limit(self.limit)?;
        let wanted = self.name.as_ref().map(|text| text.to_lowercase());
        let matches = |item: &T| wanted.as_ref().is_none_or(|text| name(item).to_lowercase().contains(text));
        let mut items: Vec<(String, T)> =
            items.into_iter().filter(matches).map(|item| (name(&item).to_lowercase(), item)).collect();
        items.sort_by(|a, b| a.0.cmp(&b.0));
        let total = items.len();
        let start = self.after.as_ref().map_or(0, |after| items.partition_point(|(key, _)| key <= after));
        let rest = items.split_off(start.min(total));
        let more = rest.len() > limit;
        let part: Vec<(String, T)> = rest.into_iter().take(limit).collect();
        let next = part.last().filter(|_| more).map(|(key, _)| key.clone());
        Ok(Page { items: part.into_iter().map(|(_, item)| item).collect(), total, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(limit: Option<usize>, after: Option<&str>, name: Option<&str>) -> Part {
        Part { limit, after: after.map(Into::into), name: name.map(Into::into) }
    }

    #[test]
    fn the_parts_together_are_the_list() {
        let names: Vec<String> = (0..25).map(|n| format!("Name-{n:02}")).collect();
        let (mut seen, mut after, mut parts) = (Vec::new(), None, 0);
        loop {
            let page = part(Some(10), after.as_deref(), None).cut(names.iter().rev(), |it| it).unwrap();
            assert_eq!(page.total, 25);
            seen.extend(page.items);
            parts += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((seen, parts), (names.iter().collect::<Vec<_>>(), 3));
    }

    #[test]
    fn a_part_that_ends_the_list_exactly_has_no_next() {
        let names = ["a", "b"];
        assert_eq!(part(Some(2), None, None).cut(names, |it| it).unwrap().next, None);
        assert_eq!(part(Some(1), None, None).cut(names, |it| it).unwrap().next.as_deref(), Some("a"));
        assert!(part(Some(1), Some("z"), None).cut(names, |it| it).unwrap().items.is_empty());
    }

    #[test]
    fn limits_are_one_to_a_thousand_and_names_match_in_any_case() {
        for (limit, good) in [(0, false), (1, true), (MOST, true), (MOST + 1, false)] {
            assert_eq!(Part::limit(Some(limit)).is_ok(), good, "{limit}");
        }
        let page = part(None, None, Some("CM")).cut(["Acme", "other"], |it| it).unwrap();
        assert_eq!((page.items, page.total), (vec!["Acme"], 1));
    }
}
