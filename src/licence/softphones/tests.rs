use super::*;

fn matches(pattern: &str, text: &str) -> bool {
    Pattern::of(pattern, "").unwrap().matches(text.as_bytes())
}

fn faults(text: &str) -> Vec<(usize, String)> {
    Softphones::parse(text).unwrap_err().into_iter().map(|fault| (fault.line, fault.key)).collect()
}

#[test]
fn a_pattern_is_a_whole_text_without_case_and_a_star_is_any() {
    for (pattern, text) in [
        ("abc", "ABC"),
        ("ABC*", "abc"),
        ("abc*", "abcdef"),
        ("*abc", "xxabcabc"),
        ("*abc*", "xabcx"),
        ("a*b*c", "a-b-b-c"),
        ("*.SFiphone", "ann.sfiphone"),
        ("a**b", "axb"),
        ("*a*", "a"),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in
        [("abc", "abcd"), ("abc", "xabc"), ("abc*", "ab"), ("*abc", "abcx"), ("a*b*c", "a-c-b"), ("a", ""), ("*a*", "")]
    {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}

#[test]
fn the_built_in_list_knows_soft_clients_in_common_use() {
    // R46
    let known = Softphones::parse(BUILT_IN).unwrap();
    for agent in [
        "Zoiper rv2.10.8.2",
        "Z 5.2.19 rv2.8.99",
        "Z 5.6.4 v2.10.20.4_1",
        "Z 5.4.12 v2.10.13.2-mod",
        "Linphone/3.6.1 (eXosip2/4.1.0)",
        "LinphoneiOS/4.5.1 (iPhone) LinphoneSDK/5.0.40-pre.2+ea19d3d",
        "LinphoneAndroid/1.0 (belle-sip/1.5.0)",
        "Linphone Desktop/ (Ubuntu 22.04.3 LTS, Qt 5.15.3) LinphoneCore/4.4.21",
        "MicroSIP/3.21.5",
        "Bria 3 release 3.5.5 stamp 71243",
        "Bria iOS release 3.9.5 stamp 38501.38502",
        "X-Lite release 4.9.7.1 stamp 83369",
        "Jitsi2.11.20200408Linux",
        "baresip v1.1.0 (x86_64/linux)",
        "SIPPER for PhonerLite",
        "Acrobits Softphone/5.8.1",
        "Groundwire/5.3.10",
        "Grandstream Wave 1.2.14",
        "Grandstream Wave/webrtc_chrome",
        "3CXPhone 6.0.26523.0",
        "Blink 0.2.5 (Windows)",
        "Blink Pro 4.6.0 (MacOSX)",
        "Telephone 1.6",
        "Cisco-CSF",
        "Sipnetic/1.1.9 Android",
        "CSipSimple_crespo-15/r2457",
        "Twinkle/1.10.2",
        "JsSIP 3.10.1",
        "SIP.js/0.20.0",
        "Browser Phone 0.3.29 (SIPJS - 0.20.0)",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        "IM-client/OMA1.0 sipML5-v1.2016.03.04",
        "Some Softphone 1",
    ] {
        assert!(known.has_user_agent(agent.as_bytes()), "{agent}");
    }
    for agent in [
        "",
        "Yealink SIP-T46U 108.86.0.20",
        "snomD785/10.1.101.11",
        "snomM700/05.30.0001",
        "Grandstream GXP2170 1.0.11.6",
        "Grandstream HT802 1.0.17.5",
        "Gigaset N510 IP PRO/42.250.00.000.000",
        "Polycom/5.9.0.9373 PolycomVVX-VVX_411-UA/5.9.0.9373",
        "Cisco-CP8841/12.5.1",
        "Cisco/SPA504G-7.6.2",
        "Mitel-SIP-Phone",
        "Aastra 6731i/3.3.1.4365",
        "AVM FRITZ!Box 7490 113.07.21",
        "Fanvil X4U 2.4.5",
        "2N Helios IP Vario",
        "3CXPhoneSystem 18.0.7.312 (312)",
        "Patton SN4112 JS EUI",
        "Zycoo",
        "ZTE SIP phone",
        "Z 5000 desk phone",
        "Telephone IP",
        "Blinking Lights 3",
    ] {
        assert!(!known.has_user_agent(agent.as_bytes()), "{agent}");
    }
    assert!(known.has_account(b"ann.SFiphone") && known.has_account(b"ann.SFandroid"));
    assert!(!known.has_account(b"ann.SFiphone2") && !known.has_account(b"10") && !known.has_account(b""));
}

#[test]
fn a_bad_list_is_refused_with_line_and_key() {
    let list = "# mine\naccounts = [\n  \"*.soft\",\n  \"\",\n]\nuser_agents = [\"*\", \"ok*\", \"**\",\n  \" Zoiper*\", \"a\\tb\"]\n";
    let expected = [
        (4, "accounts[1]"),
        (6, "user_agents[0]"),
        (6, "user_agents[2]"),
        (7, "user_agents[3]"),
        (7, "user_agents[4]"),
    ];
    assert_eq!(faults(list), expected.map(|(line, key)| (line, key.to_owned())));
    assert_eq!(faults("accounts = []\nuser_agents = []\nagents = []\n")[0].0, 3);
    assert_eq!(faults("accounts = []\nuser_agents = [1]\n")[0].0, 2);
    assert_eq!(faults("accounts = []\nuser_agents = [\n").len(), 1);
    assert_eq!(faults("accounts = []\n").len(), 1, "user_agents is missing");
    let shown = Softphones::parse("accounts = [\"*\"]\nuser_agents = []\n").unwrap_err()[0].to_string();
    assert!(shown.starts_with("line 1 accounts[0]: the pattern \"*\" matches everything"), "{shown}");
}

#[test]
fn bounds_of_patterns_and_texts() {
    let list = |count: usize, length: usize| {
        let patterns: Vec<String> = (0..count).map(|n| format!("\"{n:0>length$}\"")).collect();
        Softphones::parse(&format!("accounts = []\nuser_agents = [{}]\n", patterns.join(",\n"))).map(|list| list.len())
    };
    assert_eq!((list(999, 8), list(1_000, 8)), (Ok(999), Ok(1_000)));
    assert!(list(1_001, 8).is_err());
    assert_eq!((list(1, 127), list(1, 128)), (Ok(1), Ok(1)));
    assert!(list(1, 129).is_err());
    let known = Softphones::parse("accounts = []\nuser_agents = [\"*end\"]\n").unwrap();
    let agent = |length: usize| known.has_user_agent(format!("{}end", "x".repeat(length - 3)).as_bytes());
    assert_eq!((agent(255), agent(256), agent(257)), (true, true, false));
    assert!(Softphones::default().is_empty());
}
