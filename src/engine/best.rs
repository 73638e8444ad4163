//! Which of several final responses the caller gets (RFC 3261 §16.7(6)).

/// Whether `one` is to be preferred over `other`: 2xx, then 6xx, then the lowest class; among 4xx those that
/// say how to do better. Where neither is, the first to come stays.
pub fn is_better(one: u16, other: u16) -> bool {
    rank(one) < rank(other)
}

/// The status as the caller gets it: a 503 of one PBX says nothing of the whole service (T09).
pub const fn upstream(status: u16) -> u16 {
    if status == 503 { 500 } else { status }
}

const fn rank(status: u16) -> (u16, bool) {
    let class = status / 100;
    let order = match class {
        2 => 0,
        6 => 1,
        _ => class,
    };
    (order, !matches!(status, 401 | 407 | 415 | 420 | 484))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_of_16_7() {
        // T09
        for (better, worse) in
            [(200, 603), (603, 302), (302, 404), (404, 500), (401, 404), (407, 486), (415, 480), (420, 403), (484, 404)]
        {
            assert!(is_better(better, worse), "{better} over {worse}");
            assert!(!is_better(worse, better), "{worse} over {better}");
        }
        assert!(!is_better(404, 486) && !is_better(486, 404), "the first stays");
        assert_eq!((upstream(503), upstream(500), upstream(486)), (500, 500, 486));
    }
}
