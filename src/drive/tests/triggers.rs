//! Shots that wait for others.

use super::*;

/// The paths of the requests that came, in order, until as many have come.
async fn paths(server: &mut Server, count: usize) -> Vec<String> {
    let mut paths = Vec::new();
    while paths.len() < count {
        if let Saw::Request { text, .. } = server.next().await {
            paths.push(text.split(' ').nth(1).unwrap().to_owned());
        }
    }
    paths
}

#[tokio::test]
async fn each_goes_when_it_is_its_turn() {
    let mut server = Server::start(|_, text| match text.split(' ').nth(1) {
        Some("/2") => Then::Nothing,
        _ => Then::Answer(OK.to_owned()),
    })
    .await;
    let shots = [
        shot(get("/0"), Trigger::Barrier),
        shot(get("/1"), Trigger::Answered { of: 0 }),
        Shot {
            hang_up: Some(HangUp::BeforeAnswer { after_us: 3_000 }),
            ..shot(
                get("/2"),
                Trigger::After {
                    of: 1,
                    delay: Duration::from_micros(5_300),
                },
            )
        },
        shot(get("/3"), Trigger::HungUp { of: 2 }),
    ];
    let flights = server.driver().race(&shots, LONG).await.unwrap();
    assert_eq!(paths(&mut server, 4).await, ["/0", "/1", "/2", "/3"]);

    let released: Vec<u64> = flights.iter().filter_map(|f| f.released_us).collect();
    let ended: Vec<u64> = flights.iter().filter_map(|f| f.ended_us).collect();
    assert_eq!((released.len(), ended.len()), (4, 4), "{flights:?}");
    assert!(released[1] >= ended[0], "{flights:?}");
    assert!(released[2] >= released[1] + 5_300, "{flights:?}");
    assert!(ended[2] >= released[2] + 3_000, "{flights:?}");
    assert_eq!(flights[2].ending, Ending::HungUp);
    assert!(released[3] >= ended[2], "{flights:?}");
    assert_eq!(answered(&flights[3].ending).body, "ok");
}

#[tokio::test]
async fn an_end_of_another_kind_is_a_turn_too() {
    let mut server = Server::start(|_, text| match text.split(' ').nth(1) {
        Some("/dropped") => Then::Close,
        _ => Then::Answer(OK.to_owned()),
    })
    .await;
    let shots = [
        shot(get("/dropped"), Trigger::Barrier),
        shot(get("/1"), Trigger::Answered { of: 0 }),
        leaving(
            get("/answered"),
            HangUp::BeforeAnswer {
                after_us: 20_000_000,
            },
        ),
        shot(get("/3"), Trigger::HungUp { of: 2 }),
        leaving(get("/half"), HangUp::HalfWay),
        shot(
            get("/5"),
            Trigger::After {
                of: 4,
                delay: Duration::from_micros(700),
            },
        ),
    ];
    let flights = server.driver().race(&shots, LONG).await.unwrap();
    assert_eq!(paths(&mut server, 5).await.len(), 5);
    assert!(dropped(&flights[0].ending).contains("without an answer"));
    assert!(flights[1].released_us >= flights[0].ended_us, "{flights:?}");
    assert_eq!(
        answered(&flights[2].ending).status,
        200,
        "answered before it left"
    );
    assert!(flights[3].released_us >= flights[2].ended_us, "{flights:?}");
    assert_eq!(flights[4].released_us, None, "its last byte never went");
    assert!(
        flights[5].released_us >= flights[4].ended_us.map(|us| us + 700),
        "{flights:?}"
    );
}

#[tokio::test]
async fn a_shot_cannot_wait_for_itself() {
    let server = Server::start(|_, _| Then::Nothing).await;
    let shots = [shot(get("/"), Trigger::HungUp { of: 0 })];
    let error = server.driver().race(&shots, LONG).await.unwrap_err();
    assert!(
        error.to_string().contains("shot 0 waits for a later one"),
        "{error}"
    );
}

#[tokio::test]
async fn a_led_race_goes_as_it_is_told() {
    let mut server = Server::start(|_, _| Then::Answer(OK.to_owned())).await;
    let shots = ["/0", "/1", "/2"].map(|path| shot(get(path), Trigger::Barrier));
    let mut driver = server.driver();
    let (lead, race) = driver.led(&shots, LONG);
    let leading = async {
        lead.ready.await.unwrap();
        let [first, second, third]: [_; 3] = lead.go.try_into().unwrap();
        let mut ended = lead.ended;
        second.send(()).unwrap();
        assert_eq!(ended.recv().await, Some(1));
        first.send(()).unwrap();
        assert_eq!(ended.recv().await, Some(0));
        drop(third);
        assert_eq!(ended.recv().await, Some(2));
    };
    let (flights, ()) = tokio::join!(race, leading);
    let flights = flights.unwrap();
    assert_eq!(paths(&mut server, 2).await, ["/1", "/0"]);
    assert_eq!(answered(&flights[0].ending).body, "ok");
    assert_eq!(flights[2].released_us, None, "nobody told it to go");
}
