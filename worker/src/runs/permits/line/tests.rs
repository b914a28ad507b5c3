//! Tests of the line: its order, its fairness, and that no permit is lost.

use proptest::prelude::*;
use tokio_test::{assert_pending, assert_ready, task};

use super::*;

#[test]
fn there_are_no_more_permits_than_were_made_and_each_has_its_number() {
    let line = Line::new(2);
    let first = line.enter(()).unwrap();
    let second = line.enter(()).unwrap();
    assert_eq!((first.number(), second.number(), line.taken()), (0, 1, 2));
    drop(line.enter(()).unwrap_err());
    drop(first);
    assert_eq!(line.taken(), 1);
    assert_eq!(line.enter(()).unwrap().number(), 0);
}

#[test]
fn who_waits_is_served_in_order_and_nobody_gets_past() {
    let line = Line::new(1);
    let permit = line.enter(()).unwrap();
    let (first, second) = (line.enter(()).unwrap_err(), line.enter(()).unwrap_err());
    assert_eq!((first.place().ahead, second.place().ahead), (0, 1));
    let mut first = task::spawn(first.permit());
    let mut second = task::spawn(second.permit());
    assert_pending!(second.poll());
    assert_pending!(first.poll());
    drop(permit);
    drop(line.enter(()).expect_err("somebody who came later got past"));
    assert_pending!(second.poll());
    assert!(first.is_woken());
    let permit = assert_ready!(first.poll());
    assert_pending!(second.poll());
    drop(permit);
    assert!(second.is_woken());
    drop(assert_ready!(second.poll()));
    line.enter(()).unwrap();
}

#[test]
fn who_gives_up_lets_those_behind_move_up() {
    let line = Line::new(1);
    let permit = line.enter(()).unwrap();
    let (first, second) = (line.enter(()).unwrap_err(), line.enter(()).unwrap_err());
    let mut first = task::spawn(first.permit());
    let mut second = task::spawn(second.permit());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(permit);
    // The first waiter could take the permit, but gives up before it does.
    drop(first);
    assert!(second.is_woken());
    assert_ready!(second.poll());
}

/// Serves everybody who waits, one after the other, and returns in which order they came.
fn served(line: &Line<u8>, permit: Permit<u8>, waiting: Vec<(u8, Waiting<u8>)>) -> Vec<u8> {
    let mut waiting: Vec<_> =
        waiting.into_iter().map(|(party, w)| (party, task::spawn(w.permit()))).collect();
    let mut order = Vec::new();
    drop(permit);
    while !waiting.is_empty() {
        let mut ready = waiting.iter_mut().enumerate().filter_map(|(place, (party, wait))| {
            let permit = match wait.poll() {
                std::task::Poll::Ready(permit) => permit,
                std::task::Poll::Pending => return None,
            };
            Some((place, *party, permit))
        });
        let (place, party, permit) = ready.next().expect("somebody is served");
        drop(waiting.remove(place));
        order.push(party);
        drop(permit);
    }
    assert_eq!(line.taken(), 0);
    order
}

#[test]
fn a_party_with_many_requests_delays_others_by_one_at_most() {
    let line = Line::new(1);
    let permit = line.enter(1).unwrap();
    let parties = [1, 1, 1, 1, 2, 2, 3];
    let waiting: Vec<_> = parties.map(|party| (party, line.enter(party).unwrap_err())).into();
    let ahead: Vec<_> = waiting.iter().map(|(_, waiting)| waiting.place().ahead).collect();
    assert_eq!(ahead, [0, 3, 5, 6, 1, 4, 2]);
    assert_eq!(served(&line, permit, waiting), [1, 2, 3, 1, 2, 1, 1]);
}

#[test]
fn parties_with_one_request_each_are_served_in_the_order_in_which_they_came() {
    let line = Line::new(1);
    let permit = line.enter(0).unwrap();
    let waiting = [1, 2, 3, 4].map(|party| (party, line.enter(party).unwrap_err())).into();
    assert_eq!(served(&line, permit, waiting), [1, 2, 3, 4]);
}

#[test]
fn a_party_that_waits_is_not_passed_by_ones_that_come_later_again_and_again() {
    let line = Line::new(1);
    let mut permit = line.enter(0).unwrap();
    drop(line.enter(1).unwrap_err());
    let mut patient = vec![line.enter(1).unwrap_err(), line.enter(1).unwrap_err()];
    let mut second = task::spawn(patient.pop().unwrap().permit());
    let mut first = task::spawn(patient.pop().unwrap().permit());
    for newcomer in 2..5 {
        let mut waiting = task::spawn(line.enter(newcomer).unwrap_err().permit());
        drop(permit);
        permit = match (first.poll(), second.poll(), waiting.poll()) {
            (std::task::Poll::Ready(permit), _, _) => {
                first = task::spawn(line.enter(0).unwrap_err().permit());
                permit
            }
            (_, std::task::Poll::Ready(_), _) => return,
            (_, _, std::task::Poll::Ready(permit)) => permit,
            _ => unreachable!("a permit is free"),
        };
    }
    panic!("three that came later were served before the second request");
}

#[test]
fn nothing_is_kept_of_those_who_gave_up() {
    let line = Line::new(1);
    let permit = line.enter(0).unwrap();
    for party in 0..10 {
        drop(line.enter(party).unwrap_err());
    }
    let waiting = vec![line.enter(2).unwrap_err(), line.enter(2).unwrap_err()];
    let again = line.enter(1).unwrap_err();
    assert_eq!(again.place().ahead, 1);
    drop((permit, waiting, again));
    assert!(line.state().ring.is_empty());
}

#[test]
fn a_waiter_is_told_where_it_stands_whenever_that_changes() {
    let line = Line::new(1);
    let permit = line.enter(0).unwrap();
    let ahead = line.enter(1).unwrap_err();
    let mut waiting = line.enter(2).unwrap_err();
    assert_eq!(waiting.place(), Place { ahead: 1, served: 1 });
    {
        let mut next = task::spawn(waiting.next());
        assert_pending!(next.poll());
        drop(ahead);
        assert!(next.is_woken());
        let Step::Moved(place) = assert_ready!(next.poll()) else { panic!("no permit is free") };
        assert_eq!(place, Place { ahead: 0, served: 1 });
    }
    let mut next = task::spawn(waiting.next());
    assert_pending!(next.poll());
    drop(permit);
    assert!(matches!(assert_ready!(next.poll()), Step::Permit(_)));
}

/// A step of a random sequence. The numbers choose among the waiters or the holders of permits.
#[derive(Debug, Clone)]
enum Action {
    Enter,
    Poll(usize),
    GiveUp(usize),
    GiveBack(usize),
}

fn steps() -> impl Strategy<Value = Vec<Action>> {
    let step = prop_oneof![
        2 => Just(Action::Enter),
        2 => any::<usize>().prop_map(Action::Poll),
        1 => any::<usize>().prop_map(Action::GiveUp),
        2 => any::<usize>().prop_map(Action::GiveBack),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn whatever_happens_permits_are_unique_and_the_first_who_wait_are_served(
        permits in 1..4_usize,
        steps in steps(),
    ) {
        let line = Line::new(permits);
        let (mut held, mut waiting) = (Vec::new(), Vec::new());
        for step in steps {
            let free = permits - held.len();
            match step {
                Action::Enter => match line.enter(()) {
                    Ok(permit) => {
                        prop_assert!(waiting.len() < free);
                        held.push(permit);
                    }
                    Err(wait) => {
                        prop_assert!(waiting.len() >= free);
                        prop_assert_eq!(wait.place().ahead, waiting.len());
                        waiting.push(task::spawn(wait.permit()));
                    }
                },
                Action::Poll(choice) if !waiting.is_empty() => {
                    let place = choice % waiting.len();
                    let polled = waiting[place].poll();
                    prop_assert_eq!(polled.is_ready(), place < free);
                    if let std::task::Poll::Ready(permit) = polled {
                        drop(waiting.remove(place));
                        held.push(permit);
                    }
                }
                Action::GiveUp(choice) if !waiting.is_empty() => {
                    drop(waiting.remove(choice % waiting.len()));
                }
                Action::GiveBack(choice) if !held.is_empty() => {
                    drop(held.remove(choice % held.len()));
                }
                _ => {}
            }
            let mut numbers: Vec<_> = held.iter().map(Permit::<()>::number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), held.len());
            prop_assert!(numbers.iter().all(|number| *number < permits));
            prop_assert_eq!(line.taken(), held.len());
        }
        let free = permits - held.len();
        for waiting in waiting.iter_mut().take(free) {
            prop_assert!(waiting.poll().is_ready());
        }
    }
}
