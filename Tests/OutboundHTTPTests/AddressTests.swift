import Domain
import Testing

@testable import OutboundHTTP

@Suite struct AddressTests {
  @Test func addressesAreOfTheirKind() throws {
    let kinds: [RemoteAddress.Kind: [String]] = [
      .local: [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::1", "::",
        "fe80::1",
        "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
      ],
      .special: [
        "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.0.1", "198.18.0.1",
        "198.19.9.9",
        "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.51.100.7", "203.0.113.9", "fc00::1", "fd12::1", "::ffff:10.0.0.1",
        "::ffff:8.8.8.8", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::", "2002:808:808::", "2001::1", "2001:db8::1",
        "3fff::1", "100::1", "5f00::1",
      ],
      .global: [
        "8.8.8.8", "172.32.0.1", "172.15.0.1", "100.63.0.1", "100.128.0.1", "192.169.0.1", "128.0.0.1",
        "223.255.255.255",
        "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808",
      ],
    ]
    for (kind, texts) in kinds {
      for text in texts { #expect(try #require(RemoteAddress.numeric(text)).kind == kind, "\(text)") }
    }
  }

  @Test func anAddressInAnySpellingIsFound() {
    for text in ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "127.0.0.1"] {
      #expect(RemoteAddress.numeric(text)?.text == "127.0.0.1", "\(text)")
    }
    #expect(RemoteAddress.numeric("localhost") == nil)
    #expect(RemoteAddress.own().contains { $0.text == "127.0.0.1" })
  }

  @Test func networksContainTheirAddresses() throws {
    let address = try #require(RemoteAddress.numeric("10.1.2.3"))
    #expect(address.isIn(try #require(CIDR("10.1.0.0/16"))))
    #expect(!address.isIn(try #require(CIDR("10.2.0.0/16"))))
    #expect(!address.isIn(try #require(CIDR("::/0"))))
  }
}

@Suite struct WebLocationTests {
  @Test func aURLIsReadInOneWay() throws {
    let cases: [(String, String)] = [
      ("http://Example.ORG", "http://example.org:80/"), ("https://example.org/a?b#c", "https://example.org:443/a?b"),
      ("HTTP://example.org:8080?x", "http://example.org:8080/?x"), ("http://2130706433/", "http://127.0.0.1:80/"),
      ("http://0x7f.1/x", "http://127.0.0.1:80/x"), ("http://[::FFFF:127.0.0.1]:81/", "http://[::ffff:127.0.0.1]:81/"),
      ("http://[0:0::1]/", "http://[::1]:80/"),
    ]
    for (text, expected) in cases { #expect(WebLocation(text)?.text == expected, "\(text)") }
  }

  @Test(arguments: [
    "file:///etc/passwd", "ftp://example.org/", "http:", "http://", "http:///x", "http://user@host/",
    "http://user:x@host/",
    "http://a\\@b/", "http://a\\b/", "http://host/a\\b", "gopher://x", "http://host:0/", "http://host:99999/",
    "http://host:x/",
    "http://host:+80/", "http://[::1/", "http://[::1%25eth0]/", "http://[127.0.0.1]/", "http://[::1]x/",
    "http://ho st/",
    "http://höst/", "http://%31%32/", "http://host\u{0}/", "//host/", "javascript://x",
  ])
  func whatIsNoPlainURLIsNone(text: String) {
    #expect(WebLocation(text) == nil)
  }

  @Test func redirectsLeadWhereTheySay() throws {
    let location = try #require(WebLocation("https://example.org:444/a/b?c/d"))
    let cases: [(String, String?)] = [
      ("/x", "https://example.org:444/x"), ("x", "https://example.org:444/a/x"),
      ("//other/x", "https://other:443/x"), ("http://other/x", "http://other:80/x"), ("file:///etc/shadow", nil),
      ("//user@other/", nil), ("?q", "https://example.org:444/a/?q"),
    ]
    for (text, expected) in cases { #expect(location.redirected(to: text)?.text == expected, "\(text)") }
  }
}
