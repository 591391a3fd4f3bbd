use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use super::*;

/// Counts its drops and how deep they nest, and releases the next when it is dropped.
struct Link {
    count: Arc<[AtomicUsize; 3]>,
    next: Option<Arc<Self>>,
    panics: bool,
}

impl Link {
    fn chain(len: usize, panics: bool, count: &Arc<[AtomicUsize; 3]>) -> Arc<Self> {
        let link = |next| Arc::new(Self { count: Arc::clone(count), next, panics });
        (1..len).fold(link(None), |next, _| link(Some(next)))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let [dropped, inside, deepest] = &*self.count;
        dropped.fetch_add(1, SeqCst);
        let depth = inside.fetch_add(1, SeqCst).wrapping_add(1);
        deepest.fetch_max(depth, SeqCst);
        release(self.next.take());
        inside.fetch_sub(1, SeqCst);
        assert!(!self.panics, "a bug in what others gave us");
    }
}

/// How many were dropped, and how many at most inside of one another.
fn released(len: usize, panics: bool) -> (usize, usize) {
    let count = Arc::default();
    release(Link::chain(len, panics, &count));
    (count[0].load(SeqCst), count[2].load(SeqCst))
}

#[test]
fn a_chain_is_released_one_link_after_the_other() {
    assert_eq!(released(100_000, false), (100_000, 1));
}

/// It used to release the rest one inside the other, and a second panic ended the process.
#[test]
fn a_drop_that_panics_is_caught_and_the_rest_is_released() {
    assert_eq!(released(50, true), (50, 1));
    assert_eq!(released(3, false), (3, 1), "and the thread releases as before");
}

#[test]
fn a_thread_that_is_unwinding_releases_too() {
    struct Guard(Option<Arc<Link>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            release(self.0.take());
        }
    }
    let count = Arc::default();
    let guard = Guard(Some(Link::chain(5, true, &count)));
    let ended = thread::spawn(move || {
        let _guard = guard;
        panic!("something else");
    });
    assert!(ended.join().is_err());
    assert_eq!((count[0].load(SeqCst), count[2].load(SeqCst)), (5, 1));
}

/// A thread that ends has no place for what waits: there each is released inside the one before.
#[test]
fn a_thread_past_its_end_releases_at_once() {
    struct AtEnd(Option<Arc<Link>>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            release(self.0.take());
        }
    }
    std::thread_local! { static LAST: RefCell<Option<AtEnd>> = const { RefCell::new(None) }; }
    let count: Arc<[AtomicUsize; 3]> = Arc::default();
    let chain = Link::chain(4, false, &count);
    thread::spawn(move || LAST.set(Some(AtEnd(Some(chain))))).join().unwrap();
    assert_eq!(count[0].load(SeqCst), 4);
}

#[test]
fn a_gate_is_empty_when_it_is_closed_and_the_last_call_has_left() {
    let gate = Gate::default();
    assert!(!gate.is_empty(), "open: a call may come");
    let inside = gate.enter().unwrap();
    gate.close();
    assert!(!gate.is_empty() && gate.enter().is_none());
    drop(inside);
    assert!(gate.is_empty());
    gate.wait();
}

#[test]
fn callbacks_are_counted_for_each_registry() {
    let outer = [InCallback::enter(1), InCallback::enter(1)];
    let inner = InCallback::enter(2);
    let again = InCallback::enter(1);
    assert_eq!((InCallback::depth(1), InCallback::depth(2), InCallback::depth(3)), (3, 1, 0));
    drop(again);
    drop(inner);
    assert_eq!((InCallback::depth(1), InCallback::depth(2)), (2, 0));
    drop(outer);
    assert_eq!(InCallback::depth(1), 0);
}
