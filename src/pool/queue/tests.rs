//! Tests: handshakes beside requests.

use super::*;
use crate::config::Overload;
use crate::pool::overload::fairness::{Bucket, ClientKey};

const MILLIS: Duration = Duration::from_millis(1);

#[derive(Debug, PartialEq)]
enum TestWork {
    Request(Bucket),
    Handshake(Bucket),
}

impl QueueItem for TestWork {
    fn bucket(&self) -> Bucket {
        let (Self::Request(bucket) | Self::Handshake(bucket)) = self;
        *bucket
    }

    fn is_handshake(&self) -> bool {
        matches!(self, Self::Handshake(_))
    }
}

/// Takes all work, one piece after the other: `h` for a handshake, `r` for a request.
fn order(queue: &Queue<TestWork>, now: Instant) -> String {
    let mut order = String::new();
    while let Some((queued, _)) = queue.take(|| now) {
        let _permit = queue.permit_of(&queued);
        order.push(if queued.work.is_handshake() { 'h' } else { 'r' });
    }
    order
}

#[test]
fn requests_go_before_handshakes_once_too_many_of_these_wait() {
    let epoch = Instant::now();
    let controller = Controller::new(&Overload::default(), 4, 100, epoch);
    let bucket = controller.bucket(ClientKey::None);
    (0..100).for_each(|_| controller.note_handshake(MILLIS));
    let queue = Queue::new(100, controller).with_handshakes(Some(1));
    let now = Instant::now() + 1000 * MILLIS;
    let push = |work, at| queue.push_from(work, at, at).unwrap();
    for (handshakes, expected) in [(2, "hhrr"), (8, "rrhhhhhhhh")] {
        (0..handshakes).for_each(|_| push(TestWork::Handshake(bucket), now));
        (0..2).for_each(|_| push(TestWork::Request(bucket), now + MILLIS));
        assert_eq!(queue.len() + queue.handshakes(), handshakes + 2);
        assert_eq!(order(&queue, now + 100 * MILLIS), expected);
        assert!(queue.is_idle());
    }
}

#[test]
fn a_worker_begins_no_handshake_beyond_the_limit_and_requests_go_on() {
    let controller = Controller::new(&Overload::default(), 4, 100, Instant::now());
    let bucket = controller.bucket(ClientKey::None);
    let queue = Queue::new(100, controller).with_handshakes(Some(1));
    let now = Instant::now();
    queue.push(TestWork::Handshake(bucket), now).unwrap();
    queue.push(TestWork::Handshake(bucket), now).unwrap();
    let (first, _) = queue.take(|| now).unwrap();
    let permit = queue.permit_of(&first);
    assert!(permit.is_some() && queue.take(|| now).is_none());
    assert!(!queue.has_ready() && !queue.has_work(now) && !queue.is_idle());
    queue.push(TestWork::Request(bucket), now).unwrap();
    assert!(matches!(queue.take(|| now), Some((queued, _)) if !queued.work.is_handshake()));
    drop(permit);
    assert!(queue.has_ready() && queue.begin_handshake(now).is_none(), "another one waits");
    assert_eq!(order(&queue, now), "h");
    assert!(queue.begin_handshake(now).is_some());
}
