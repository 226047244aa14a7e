use std::io::{BufRead, BufReader};
use std::net::TcpListener;

use super::*;

/// A server that gives one answer after the other, then none. Returns its address, and the first lines of requests.
fn serve(answers: Vec<Vec<u8>>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut first = String::new();
            reader.read_line(&mut first).expect("a request");
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let _ = sender.send(first.trim().to_owned());
            let _ = stream.write_all(&answer);
        }
    });
    (address, receiver)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}");
    let length = if headers.contains("Content-Length") {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    [head.as_bytes(), length.as_bytes(), b"\r\n", body].concat()
}

fn fetched(url: &str) -> Result<Vec<u8>, String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dest = dir.path().join("dest");
    let result = fetch(url, &dest, false, &Cancel::new().expect("a switch"));
    if result.is_err() {
        assert!(!dest.exists(), "a failed fetch leaves nothing");
    }
    result.map(|()| fs::read(&dest).expect("a file"))
}

#[test]
fn a_file_comes_over_http() {
    let body: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let (address, requests) = serve(vec![answer("200 OK", "", &body)]);
    assert_eq!(fetched(&format!("{address}/a/b.tar?x=1")), Ok(body));
    assert_eq!(requests.recv().expect("a request"), "GET /a/b.tar?x=1 HTTP/1.1");
}

#[test]
fn redirections_are_followed() {
    let (address, _requests) =
        serve(vec![answer("302 Found", "Location: /there\r\n", b""), answer("200 OK", "", b"here")]);
    assert_eq!(fetched(&address), Ok(b"here".to_vec()));
}

#[test]
fn passing_trouble_is_tried_again() {
    let (address, _requests) = serve(vec![
        answer("503 Service Unavailable", "", b"later"),
        answer("200 OK", "Content-Length: 100\r\n", b"cut off"),
        answer("200 OK", "", b"whole"),
    ]);
    assert_eq!(fetched(&address), Ok(b"whole".to_vec()));
}

#[test]
fn what_will_not_change_is_not_tried_again() {
    let (address, requests) = serve(vec![answer("404 Not Found", "", b""), answer("200 OK", "", b"never")]);
    let error = fetched(&address).expect_err("an error");
    assert!(error.contains("404") && error.contains(&address), "{error}");
    assert_eq!(requests.iter().take(1).count(), 1);
    assert!(requests.try_recv().is_err());
}

#[test]
fn a_cancelled_download_ends_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cancel = Cancel::new().expect("a switch");
    cancel.cancel();
    // Nobody ever answers.
    let error = fetch(&url, &dir.path().join("dest"), false, &cancel).expect_err("an error");
    assert!(error.contains("stopped"), "{error}");
}

#[test]
fn files_are_copied_by_url() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("a b%");
    fs::write(&file, "text").expect("written");
    let encoded = format!("{}/a%20b%25", dir.path().display());
    for url in [format!("file://{encoded}"), format!("file:{encoded}"), format!("FILE://localhost{encoded}")]
    {
        assert_eq!(fetched(&url), Ok(b"text".to_vec()), "{url}");
    }
    for wrong in [
        "file://elsewhere/a",
        "file:///nonexistent",
        &format!("file://{}", dir.path().display()),
        "ftp://a/b",
        "a",
    ] {
        assert!(fetched(wrong).expect_err("an error").starts_with(wrong), "{wrong}");
    }
}

#[test]
fn a_program_can_be_executed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (file, dest) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&file, "text").expect("written");
    let cancel = Cancel::new().expect("a switch");
    fetch(&format!("file://{}", file.display()), &dest, true, &cancel).expect("fetched");
    assert_eq!(fs::metadata(&dest).expect("a file").permissions().mode() & 0o111, 0o111);
}

#[test]
fn percent_signs_stand_for_bytes() {
    let check = |text: &str, expected: &[u8]| assert_eq!(decoded(text), expected, "{text}");
    check("a%20b", b"a b");
    check("%ff%C3", b"\xff\xc3");
    check("100%", b"100%");
    check("%zz%4", b"%zz%4");
}
