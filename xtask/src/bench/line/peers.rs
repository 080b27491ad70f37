//! The servers that are compared: the gateway, the floor, and the peers that are installed, each with the same list.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::gateway;
use crate::root;

/// A server and how it is started.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Floor,
    Gateway,
    Peer,
}

/// What all servers are given.
pub(super) struct Setting<'s> {
    pub(super) folder: &'s Path,
    pub(super) list: &'s [String],
    pub(super) upstream: u16,
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> anyhow::Result<u16> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn installed(program: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
}

/// All servers that are installed, their configurations written.
pub(super) fn servers(setting: &Setting<'_>) -> anyhow::Result<Vec<Server>> {
    let mut servers = vec![floor()?];
    for (name, log) in [("isigurtd", "full"), ("isigurtd, no log", "off")] {
        servers.push(gateway_with(setting, name, log)?);
    }
    let peers: [(&'static str, &str, Writer); 5] = [
        ("unbound", "unbound", unbound),
        ("dnsmasq", "dnsmasq", dnsmasq),
        ("PowerDNS Recursor", "pdns_recursor", pdns),
        ("dnsdist", "dnsdist", dnsdist),
        ("Knot Resolver", "kresd", knot),
    ];
    for (name, program, write) in peers {
        let Some(program) = installed(program) else {
            println!("    {name} is not installed");
            continue;
        };
        let port = free_port()?;
        let arguments = write(setting, port)?;
        servers.push(Server {
            name,
            port,
            program,
            arguments,
            kind: Kind::Peer,
        });
    }
    Ok(servers)
}

type Writer = fn(&Setting<'_>, u16) -> anyhow::Result<Vec<String>>;

fn floor() -> anyhow::Result<Server> {
    let port = free_port()?;
    Ok(Server {
        name: "echo (the floor)",
        port,
        program: root().join("target/release/examples/echo"),
        arguments: vec![format!("127.0.0.1:{port}")],
        kind: Kind::Floor,
    })
}

/// The gateway with one worker, the list, and a policy of many profiles and devices.
pub(super) fn gateway_with(setting: &Setting<'_>, name: &'static str, log: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    let folder = setting.folder.join(format!("gateway-{log}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let list = setting.folder.join("domains.txt");
    let config = folder.join("gateway.toml");
    std::fs::write(
        &config,
        format!(
            "state_dir = \"{0}/state\"\n[dns]\nlisten = [\"127.0.0.1:{port}\"]\nthreads = 1\n[web]\nlisten = []\n\
             [upstream]\nservers = [\"udp://127.0.0.1:{1}\"]\ndnssec = \"off\"\n[log]\nqueries = \"{log}\"\n\
             [[lists]]\nid = \"l\"\nurl = \"file://{2}\"\nformat = \"domains\"\ncategory = \"gambling\"\n",
            folder.display(),
            setting.upstream,
            list.display()
        ),
    )?;
    Ok(Server {
        name,
        port,
        program: gateway(),
        arguments: vec!["run".into(), "--config".into(), config.display().to_string()],
        kind: Kind::Gateway,
    })
}

/// A policy of 64 profiles and 5,000 devices, this host among them.
pub(super) fn policy(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut text = "[settings]\ndefault_profile = \"profile 0\"\n".to_owned();
    for number in 0..64 {
        let more = if number % 2 == 0 { "adult" } else { "malware" };
        let _ = writeln!(
            text,
            "[[profile]]\nname = \"profile {number}\"\ncategories = [\"gambling\", \"{more}\"]\nallow = [\"school{number}.example\"]\n\
             deny = [\"chat{number}.example\"]"
        );
    }
    for number in 0..5000_u32 {
        let address = if number == 2500 {
            "127.0.0.1".to_owned()
        } else {
            format!("10.{}.{}.{}", number % 7, number / 256, number % 256)
        };
        let _ = writeln!(
            text,
            "[[device]]\nname = \"device {number}\"\nmatch = [\"ip:{address}\"]\nprofile = \"profile {}\"",
            number % 64
        );
    }
    let file = folder.join("policy.toml");
    std::fs::write(&file, text)?;
    Ok(file)
}

/// Writes a file into the folder and gives its path.
fn file(setting: &Setting<'_>, name: &str, text: &str) -> anyhow::Result<String> {
    let path = setting.folder.join(name);
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// A line a rule.
fn lines(setting: &Setting<'_>, line: impl Fn(&mut String, &str)) -> String {
    let mut text = String::with_capacity(setting.list.len() * 48);
    for name in setting.list {
        line(&mut text, name);
    }
    text
}

/// The list as a response policy zone.
fn rpz(setting: &Setting<'_>) -> anyhow::Result<String> {
    let mut text =
        "$TTL 60\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\n".to_owned();
    text.push_str(&lines(setting, |text, name| {
        let _ = writeln!(text, "{name} A 0.0.0.0\n*.{name} A 0.0.0.0");
    }));
    file(setting, "list.rpz", &text)
}

fn unbound(setting: &Setting<'_>, port: u16) -> anyhow::Result<Vec<String>> {
    let mut zones = "server:\n".to_owned();
    zones.push_str(&lines(setting, |text, name| {
        let _ = writeln!(text, "local-zone: \"{name}.\" always_null");
    }));
    let zones = file(setting, "unbound.zones", &zones)?;
    let config = format!(
        "server:\n  interface: 127.0.0.1@{port}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  \
         use-syslog: no\n  num-threads: 1\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  \
         msg-cache-size: 64m\n  rrset-cache-size: 128m\n  msg-buffer-size: 8192\n  prefetch: yes\n\
         include: \"{zones}\"\nforward-zone:\n  name: \".\"\n  forward-addr: 127.0.0.1@{}\n\
         remote-control:\n  control-enable: no\n",
        setting.upstream
    );
    Ok(vec!["-c".into(), file(setting, "unbound.conf", &config)?])
}

fn dnsmasq(setting: &Setting<'_>, port: u16) -> anyhow::Result<Vec<String>> {
    let list = lines(setting, |text, name| {
        let _ = writeln!(text, "address=/{name}/0.0.0.0");
    });
    let list = file(setting, "dnsmasq.list", &list)?;
    let config = format!(
        "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nserver=127.0.0.1#{}\n\
         cache-size=50000\nuser=root\nkeep-in-foreground\npid-file={}/dnsmasq.pid\nconf-file={list}\n",
        setting.upstream,
        setting.folder.display()
    );
    Ok(vec!["-C".into(), file(setting, "dnsmasq.conf", &config)?])
}

fn pdns(setting: &Setting<'_>, port: u16) -> anyhow::Result<Vec<String>> {
    let zone = rpz(setting)?;
    let lua = file(
        setting,
        "pdns.lua",
        &format!("rpzFile(\"{zone}\", {{policyName=\"b\"}})\n"),
    )?;
    let folder = setting.folder.join("pdns");
    std::fs::create_dir_all(&folder)?;
    let config = format!(
        "local-address=127.0.0.1\nlocal-port={port}\nforward-zones-recurse=.=127.0.0.1:{}\ndnssec=off\nthreads=1\n\
         lua-config-file={lua}\nsocket-dir={}\ndaemon=no\nquiet=yes\ndont-query=\nwrite-pid=no\n",
        setting.upstream,
        folder.display()
    );
    std::fs::write(folder.join("recursor.conf"), config)?;
    Ok(vec![format!("--config-dir={}", folder.display())])
}

fn dnsdist(setting: &Setting<'_>, port: u16) -> anyhow::Result<Vec<String>> {
    let list = lines(setting, |text, name| {
        let _ = writeln!(text, "{name}");
    });
    let list = file(setting, "dnsdist.list", &list)?;
    let config = format!(
        "setLocal(\"127.0.0.1:{port}\")\nnewServer({{address=\"127.0.0.1:{}\",healthCheckMode=\"up\"}})\n\
         pc=newPacketCache(100000,{{maxTTL=86400}})\ngetPool(\"\"):setCache(pc)\nsmn=newSuffixMatchNode()\n\
         for l in io.lines(\"{list}\") do smn:add(newDNSName(l)) end\n\
         addAction(SuffixMatchNodeRule(smn,true), SpoofAction({{\"0.0.0.0\"}}))\nsetSecurityPollSuffix(\"\")\n",
        setting.upstream
    );
    Ok(vec![
        "-C".into(),
        file(setting, "dnsdist.lua", &config)?,
        "--supervised".into(),
    ])
}

fn knot(setting: &Setting<'_>, port: u16) -> anyhow::Result<Vec<String>> {
    let zone = rpz(setting)?;
    let folder = setting.folder.join("knot");
    std::fs::create_dir_all(&folder)?;
    let config = format!(
        "net.listen('127.0.0.1', {port}, {{kind='dns'}})\nmodules = {{'policy'}}\nmodules.unload('ta_update')\n\
         trust_anchors.remove('.')\ncache.size = 100*MB\n\
         policy.add(policy.rpz(policy.ANSWER({{ [kres.type.A] = {{ rdata=kres.str2ip('0.0.0.0'), ttl=60 }} }}), '{zone}', \
         false))\npolicy.add(policy.all(policy.FORWARD({{'127.0.0.1@{}'}})))\n",
        setting.upstream
    );
    let config = file(setting, "knot.conf", &config)?;
    Ok(vec![
        "-n".into(),
        "-c".into(),
        config,
        folder.display().to_string(),
    ])
}

/// The upstream of all: NSD with a wildcard at the root. Its rate limit is off, because it answers one address only.
pub(super) fn upstream(folder: &Path, port: u16) -> anyhow::Result<Option<Command>> {
    let Some(nsd) = installed("nsd") else {
        return Ok(None);
    };
    std::fs::write(
        folder.join("root.zone"),
        "$ORIGIN .\n$TTL 3600\n. SOA ns. host. 1 3600 600 86400 60\n. NS ns.\nns. A 127.0.0.1\n* A 192.0.2.1\n\
         * AAAA 2001:db8::1\n",
    )?;
    let config = folder.join("nsd.conf");
    let here = folder.display();
    std::fs::write(
        &config,
        format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  zonesdir: \"{here}\"\n  \
             pidfile: \"{here}/nsd.pid\"\n  database: \"\"\n  xfrdfile: \"{here}/xfrd\"\n  server-count: 1\n  \
             rrl-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  name: \".\"\n  zonefile: root.zone\n"
        ),
    )?;
    let mut command = Command::new(nsd);
    command.arg("-d").arg("-c").arg(config);
    Ok(Some(command))
}
