//! `make demo`: real HTTP traffic through weir in network namespaces, step by step, in plain words.
//!
//! Every step says what it does, does it, and checks what it saw. The program ends with success only if all of it was seen,
//! and removes everything; with `--keep` the lab stays up and the text says what to try and how to remove it.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, thread};

use weir_tests::lab::{self, Lab, LabError, Reply};
use weir_tests::scenario;
use weir_tests::stage::{Balance, Config, Stage, URL};

/// Fixed, so that a kept lab can be found again and removed.
const NAME: &str = "weir-demo";
const DIR: &str = "/run/weir-demo";
const SERVERS: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => demo(false),
        ["--keep"] => demo(true),
        ["--down"] => down(),
        _ => Err(LabError::unexpected("usage: weir-demo [--keep | --down]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThis was not as it should be: {error}");
            ExitCode::FAILURE
        }
    }
}

fn down() -> Result<(), LabError> {
    let namespaces = lab::remove(NAME, Path::new(DIR));
    println!(
        "{}",
        if namespaces == 0 {
            "There was no lab to remove."
        } else {
            "The lab is removed."
        }
    );
    Ok(())
}

fn demo(keep: bool) -> Result<(), LabError> {
    if let Some(reason) = scenario::why_not() {
        return Err(LabError::unexpected(reason));
    }
    if lab::remove(NAME, Path::new(DIR)) > 0 {
        println!("(An earlier lab was still up; it is removed.)");
    }
    let mut lab = Lab::named(NAME, Path::new(DIR))?;
    let seen = play(&mut lab);
    match seen {
        Ok(stage) if keep => {
            lab.keep();
            say_what_to_try(&stage);
            stage.leave_running();
        }
        Ok(stage) => {
            drop(stage);
            drop(lab);
            println!("\nAll of it was seen. The lab is removed.");
        }
        Err(error) => {
            eprintln!("{}", lab.logs());
            return Err(error);
        }
    }
    Ok(())
}

/// All steps in order.
fn play(lab: &mut Lab) -> Result<Stage, LabError> {
    let mut stage = build(lab)?;
    spread(&stage)?;
    server_stops_and_returns(&mut stage)?;
    control_is_killed(&mut stage)?;
    weights_and_drain(&mut stage)?;
    accounts(&stage)?;
    Ok(stage)
}

fn build(lab: &mut Lab) -> Result<Stage, LabError> {
    step("The lab");
    say(
        "Five network namespaces on one bridge. The servers hold the virtual address 192.0.2.100 on their loopback and keep
quiet about it; weir's dataplane takes the load balancer's interface by AF_XDP and answers for that address.",
    );
    println!(
        "
    client 192.0.2.10 ──┐             ┌── rs1 192.0.2.11  nginx
                        ├── bridge ───┼── rs2 192.0.2.12  nginx
    lb     192.0.2.2  ──┘             └── rs3 192.0.2.13  nginx
    weir-dataplane, weir-control
"
    );
    let stage = Stage::start(lab, SERVERS, Config::new(SERVERS))?;
    println!("Up: three nginx, weir-dataplane, weir-control. All three servers are in service.");
    Ok(stage)
}

fn spread(stage: &Stage) -> Result<(), LabError> {
    step("Requests are spread over the servers");
    say("30 requests by curl, each a connection of its own, round robin:");
    let replies = stage.client.get_many(URL, 30)?;
    show_shares(stage, &replies);
    no_failure(&replies)?;
    expect(
        stage.shares(&replies) == [10, 10, 10],
        "each server answers 10 of them",
    )
}

fn server_stops_and_returns(stage: &mut Stage) -> Result<(), LabError> {
    step("A server stops");
    say("nginx on rs1 is stopped. weir's health checks find out; from then on no request may fail.");
    stage.servers[0].pause()?;
    stage.wait_in_service(2)?;
    println!("weir took rs1 out of service. 30 requests:");
    let replies = stage.client.get_many(URL, 30)?;
    show_shares(stage, &replies);
    no_failure(&replies)?;
    expect(stage.shares(&replies)[0] == 0, "none goes to rs1")?;

    step("The server returns");
    say("nginx on rs1 is started again.");
    stage.servers[0].resume()?;
    stage.wait_in_service(3)?;
    println!("weir put rs1 back. 30 requests:");
    let replies = stage.client.get_many(URL, 30)?;
    show_shares(stage, &replies);
    no_failure(&replies)?;
    expect(stage.shares(&replies)[0] > 0, "rs1 answers again")
}

fn control_is_killed(stage: &mut Stage) -> Result<(), LabError> {
    step("The control process is killed");
    say("200 requests at 50 a second; after a second weir-control gets SIGKILL, and a second later a new one starts.
Forwarding is the dataplane's business alone, so nobody may notice.");
    let stream = stage.client.stream(URL, 200, Some(50))?;
    thread::sleep(Duration::from_secs(1));
    stage.director.kill_control()?;
    println!("weir-control is dead.");
    thread::sleep(Duration::from_secs(1));
    stage.director.start_control()?;
    println!("weir-control is back and has synchronised with the dataplane.");
    let replies = stream.finish()?;
    show_shares(stage, &replies);
    no_failure(&replies)
}

fn weights_and_drain(stage: &mut Stage) -> Result<(), LabError> {
    step("Weights and drain");
    say("A new configuration is applied with weirctl: weighted round robin, rs1 three times the weight, and rs3 drained
with weight 0: what it serves goes on, nothing new comes.");
    let config = stage
        .director
        .config()
        .clone()
        .scheduler("wrr")
        .weights(&[3, 1, 0]);
    print!("{}", stage.director.apply(config)?);
    stage.wait_in_service(2)?;
    let replies = stage.client.get_many(URL, 40)?;
    show_shares(stage, &replies);
    no_failure(&replies)?;
    expect(stage.shares(&replies) == [30, 10, 0], "the shares are 3 : 1 : 0")
}

fn accounts(stage: &Stage) -> Result<(), LabError> {
    step("The accounts");
    say("Every packet that came in went out, went to the host, or was dropped for a reason with a name:");
    let balance = stage.director.settled_balance()?;
    print!("{}", stage.director.ctl(&["service"])?);
    println!();
    print!("{}", stage.director.ctl(&["drops"])?);
    let Balance {
        rx,
        tx,
        punted,
        dropped,
        ..
    } = balance.clone();
    println!("\n    received {rx} = sent {tx} + to the host {punted} + dropped {dropped}");
    expect(balance.is_even() && rx > 0, "the sum is exact")
}

fn say_what_to_try(stage: &Stage) {
    let client = stage.client.node().namespace();
    let (lb, socket) = (stage.director.node().namespace(), stage.director.control_socket());
    let weirctl = scenario::binary("weirctl").unwrap_or_else(|_| "weirctl".into());
    let ctl = format!("{} --socket {}", weirctl.display(), socket.display());
    println!(
        "
All of it was seen. The lab stays up. Try, as root:

    ip netns exec {client} curl http://192.0.2.100/          a request through weir
    {ctl} status                 (or: service, backend, drops, flow, neighbor, port, worker)
    ip netns exec {lb} ip -brief address     the load balancer's kernel side: weir0 is weir's tap
    $EDITOR {DIR}/lb/weir.toml, then
    {ctl} config diff {DIR}/lb/weir.toml
    {ctl} config apply {DIR}/lb/weir.toml
    less {DIR}/lb/dataplane.log

and remove it with:

    make demo-down"
    );
}

// What a step says and checks.

fn step(title: &str) {
    println!("\n== {title}");
}

fn say(text: &str) {
    println!("{text}");
}

fn show_shares(stage: &Stage, replies: &[Reply]) {
    let failed = replies.iter().filter(|reply| !reply.is_good()).count();
    let shares = stage.servers.iter().zip(stage.shares(replies));
    let shares: Vec<String> = shares
        .map(|(server, count)| format!("{} {count}", server.name()))
        .collect();
    println!("    {}   failed {failed}", shares.join("   "));
}

fn no_failure(replies: &[Reply]) -> Result<(), LabError> {
    match replies.iter().find(|reply| !reply.is_good()) {
        Some(bad) => Err(LabError::unexpected(format!("a request failed: {bad:?}"))),
        None => Ok(()),
    }
}

fn expect(seen: bool, what: &str) -> Result<(), LabError> {
    if seen {
        Ok(())
    } else {
        Err(LabError::unexpected(format!("not seen: {what}")))
    }
}
