//! Golden files of both servers, hostile ones, and bounds.

use super::*;
use proptest::prelude::*;

fn shown(text: &str) -> Vec<String> {
    let read = read(text.as_bytes()).unwrap();
    assert!(!read.cut);
    let line = |lease: &Lease| {
        let mac = lease.mac.map_or("-".to_owned(), |mac| mac.to_string());
        let until = lease.until.map_or("always".to_owned(), |until| until.to_string());
        let name = lease.hostname.as_deref().unwrap_or("-");
        format!("{} {mac} {name} {until}", lease.address)
    };
    read.leases.iter().map(line).collect()
}

#[test]
fn a_file_of_dnsmasq_is_read() {
    let text = "\
1764000000 aa:bb:cc:dd:ee:01 192.168.1.20 ana-tab 01:aa:bb:cc:dd:ee:01
1764000001 da:bb:cc:dd:ee:02 192.168.1.21 * *
43200 aa:bb:cc:dd:ee:03 192.168.1.22 Box-Without_Clock ff:01
0 aa:bb:cc:dd:ee:04 192.168.1.23 for-ever *
1764000002 06-aa:bb:cc:dd:ee:05 192.168.1.24 other-hardware *
duid 00:01:00:01:2c:3d:4e:5f:aa:bb:cc:dd:ee:ff
1764000003 123456 fd00::20 ana-tab 00:01:00:01:2c:3d:4e:5f:aa:bb:cc:dd:ee:01
1764000004 T99 fd00::21 * 00:03:00:01:aa:bb:cc:dd:ee:02
";
    let expected = [
        "192.168.1.20 aa:bb:cc:dd:ee:01 ana-tab 1764000000",
        "192.168.1.21 da:bb:cc:dd:ee:02 - 1764000001",
        "192.168.1.22 aa:bb:cc:dd:ee:03 box-without-clock always",
        "192.168.1.23 aa:bb:cc:dd:ee:04 for-ever always",
        "192.168.1.24 - other-hardware 1764000002",
        "fd00::20 - ana-tab 1764000003",
        "fd00::21 - - 1764000004",
    ];
    assert_eq!(shown(text), expected);
}

#[test]
fn a_file_of_odhcpd_is_read() {
    let text = "\
# br-lan aabbccddee01 ipv4 ana-tab 1764000000 c0a80114 32 192.168.1.20/32
192.168.1.20\tana-tab.lan\tana-tab
# br-lan aabbccddee02 ipv4 - -1 c0a80115 32 192.168.1.21/32
# br-lan aabbccddee03 ipv4 broken\\x20wpad\\x0a 1764000000 c0a80116 32 192.168.1.22/32
# br-lan aabbccddee04 ipv4 my\\x20tab 1764000000 c0a80117 32 192.168.1.23/32
# br-lan 000100012c3d4e5faabbccddee01 1 ana-tab 1764000000 a1 128 fd00::a1/128 2001:db8::a1/128
# br-lan 000100012c3d4e5faabbccddee09 2 router 1764000000 10 60 2001:db8:0:10::/60
# br-lan aabbccddee05 ipv4 ended 0 c0a80118 32 192.168.1.24/32
";
    let expected = [
        "192.168.1.20 aa:bb:cc:dd:ee:01 ana-tab 1764000000",
        "192.168.1.21 aa:bb:cc:dd:ee:02 - always",
        "192.168.1.22 aa:bb:cc:dd:ee:03 - 1764000000",
        "192.168.1.23 aa:bb:cc:dd:ee:04 my-tab 1764000000",
        "fd00::a1 - ana-tab 1764000000",
        "2001:db8::a1 - ana-tab 1764000000",
    ];
    assert_eq!(shown(text), expected);
}

#[test]
fn a_hostile_file_yields_what_is_valid_in_it() {
    let long = "x".repeat(10_000);
    let text = format!(
        "\n\0\0\0\n1764000000 aa:bb:cc:dd:ee:01 192.168.1.20 ../../etc/passwd *\n\
         1764000000 ff:ff:ff:ff:ff:ff 192.168.1.21 a;rm${{IFS}}-rf *\n{long}\n\
         1764000000 aa:bb:cc:dd:ee:02 224.0.0.1 group *\n1764000000 aa:bb:cc:dd:ee:02 0.0.0.0 none *\n\
         1764000000 aa:bb:cc:dd:ee:02 127.0.0.1 self *\n1764000000 aa:bb:cc:dd:ee:02 192.168.1.300 x *\n\
         99999999999999999999 aa:bb:cc:dd:ee:02 192.168.1.9 x *\n1764000000 aa:bb:cc:dd:ee:02\n\
         # \n# br-lan\n# a b ipv4 h x 0 32 1.2.3.4/32\n# a zz ipv4 h 1764000000 0 32 192.168.1.30/32 /32 x/32\n\
         1764000000 aa:bb:cc:dd:ee:03 ::ffff:192.168.1.40 mapped *\n\
         1764000000 aa:bb:cc:dd:ee:04 192.168.1.50 torn"
    );
    let expected = [
        "192.168.1.20 aa:bb:cc:dd:ee:01 - 1764000000",
        "192.168.1.21 - armifs-rf 1764000000",
        "192.168.1.30 - h 1764000000",
        "192.168.1.40 aa:bb:cc:dd:ee:03 mapped 1764000000",
    ];
    assert_eq!(shown(&text), expected);
}

#[test]
fn a_lease_holds_until_an_hour_past_its_end() {
    let lease = |until| Lease {
        address: [192, 0, 2, 1].into(),
        mac: None,
        hostname: None,
        until,
    };
    assert!(lease(None).holds(i64::MAX));
    assert!(lease(Some(1_764_000_000)).holds(1_764_003_599));
    assert!(!lease(Some(1_764_000_000)).holds(1_764_003_600));
    assert!(lease(Some(1_764_000_000)).holds(0), "this clock is not set yet");
}

#[test]
fn a_million_lines_and_fifty_megabytes_are_bounded() {
    let line = b"1764000000 aa:bb:cc:dd:ee:01 192.168.1.20 ana-tab 01:aa:bb:cc:dd:ee:01\n";
    let started = std::time::Instant::now();
    let read_1 = read(&line.repeat(1_000_000)[..]).unwrap();
    assert!(read_1.cut && read_1.leases.len() == 100_000);
    let one_line = vec![b'x'; 50 << 20];
    let read_2 = read(&one_line[..]).unwrap();
    assert!(read_2.leases.is_empty() && read_2.cut);
    let empty_lines = vec![b'\n'; 50 << 20];
    assert!(read(&empty_lines[..]).unwrap().cut);
    println!("bounded files: {:?}", started.elapsed());
    assert!(started.elapsed().as_secs() < 10);
}

proptest! {
    #[test]
    fn any_file_is_read_without_panic(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&octets[..]).unwrap();
    }

    #[test]
    fn any_line_of_likely_words_is_read_without_panic(
        words in prop::collection::vec("#|duid|\\*|-|ipv4|[0-9]{1,12}|[0-9a-f:]{1,20}|[0-9.]{1,16}(/32)?|\\\\x[0-9a-z]{0,3}|\\PC{0,5}", 0..12)
    ) {
        for lease in lease(&words.join(" ")) {
            prop_assert!(!lease.address.is_multicast());
        }
    }
}
