//! Attacks by kind of request.

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use super::attacks;
use super::beside::{Asked, Attacked, others};
use super::newcomer;
use crate::support::{addr, until};

const TIME: Duration = Duration::from_millis(1_800);

/// The control: without an attack the others get everything.
#[test]
fn one_client_that_behaves_shuts_nobody_out() {
    let client = attacks::paced(1, Duration::from_millis(100), 1);
    let seen = Attacked::sleeping(5).withstands(&client, Duration::from_millis(600));
    assert!(seen.served > 0, "{seen:?}");
}

#[test]
fn a_closed_loop_of_one_client_shuts_nobody_out() {
    Attacked::sleeping(5).withstands(&attacks::closed_loop(200), TIME);
}

#[test]
fn sixty_kept_connections_with_handlers_of_50_ms_shut_nobody_out() {
    let attack = attacks::paced(60, Duration::from_millis(50), 1);
    Attacked::sleeping(50).withstands(&attack, TIME);
}

#[test]
fn newcomers_are_served_as_soon_as_stuck_workers_are_free() {
    let asked = Asked::default();
    let attacked = Attacked::new(asked.clone(), |_| {});
    let usual = addr(&attacked.server);
    assert_eq!(newcomer::ask(usual, None, Duration::from_secs(5)).unwrap(), 200);
    asked.stall.close();
    thread::scope(|scope| {
        let attack = attacks::stall(Duration::ZERO, 1_000).remove(1);
        let attack = scope.spawn(move || attack.run(usual, Duration::from_millis(2_500)).unwrap());
        until("all workers are stuck", || asked.stall.waited() == 4);
        until("requests wait", || attacked.waiting_or_refused() > 0);
        // The stall lasts longer than any request may take: its length is what is tested.
        thread::sleep(Duration::from_millis(1_300));
        asked.stall.open();
        let source = |last| Some(Ipv4Addr::new(127, 0, 3, last));
        for last in 1..=5 {
            let wait = newcomer::served_after(usual, source(last));
            assert!(wait <= Duration::from_secs(2), "newcomer {last} waited {wait:?}");
        }
        let share = others(usual, Duration::from_millis(800));
        assert!(share >= 0.9, "others {share:.2}");
        assert_eq!(attack.join().unwrap().opened, 1_000);
    });
}

#[test]
fn a_body_left_open_does_not_bypass_the_queue() {
    // With read-ahead the attackers are not served before their bodies have come.
    let asked = Asked { sleep: Duration::from_millis(5), ..Asked::default() };
    let attacked = Attacked::new(asked, |config| config.limits.read_ahead = 0);
    let seen = attacked.withstands(&attacks::open_bodies(300), TIME);
    assert!(seen.refused + seen.closed > 0, "never refused: {seen:?}");
}

#[test]
fn clients_that_pipeline_and_do_not_read_hold_no_worker() {
    Attacked::sleeping(1).withstands(&attacks::unread(4, 1_500, 2_000, 2_000), TIME);
}

#[test]
fn pipelined_requests_count_one_by_one() {
    Attacked::sleeping(5).withstands(&attacks::pipelining(40, 32), TIME);
}

#[test]
fn slow_requests_of_one_client_leave_workers_to_the_others() {
    let attack = attacks::slow_requests(8, Duration::from_secs(1));
    Attacked::sleeping(1).withstands(&attack, Duration::from_millis(2_400));
}

#[test]
fn one_slow_upload_per_worker_stops_no_server() {
    Attacked::sleeping(1).withstands(&attacks::slow_uploads(4), TIME);
}

#[test]
fn upload_time_does_not_count_as_service_time() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Timeout: 150ms\r\n\
                    Connection: close\r\n\r\n";
    let attacked = Attacked::new(Asked::default(), |config| config.pool.workers = 16);
    let usual = addr(&attacked.server);
    attacks::slow_uploads(16).run(usual, Duration::from_secs(2)).unwrap();
    let ask = |_: &usize| {
        let status = newcomer::ask_for(request, usual, None, Duration::from_secs(5));
        matches!(status, Ok(200))
    };
    let served = (0..50).filter(ask).count();
    assert!(served >= 45, "{served} of 50 served by an idle server");
}

#[test]
fn readers_that_read_nothing_hold_no_worker_once_the_memory_for_them_is_used_up() {
    let attacked = Attacked::new(Asked::default(), |config| {
        (config.limits.pending, config.limits.pending_total) = (1 << 20, 1 << 20);
    });
    attacked.withstands(&attacks::unread(16, 1, 600_000, 0), TIME);
}
