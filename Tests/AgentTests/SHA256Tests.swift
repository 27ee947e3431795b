import Testing

@testable import Agent

@Suite struct SHA256Tests {
  @Test(arguments: [true, false]) func theKnownAnswersComeOut(portable: Bool) {
    // FIPS 180-4's own examples.
    let examples = [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
    ]
    for (text, expected) in examples {
      var hash = SHA256(portable: portable)
      hash.update(Array(text.utf8))
      #expect(hash.hexDigest() == expected)
    }
  }

  @Test func bothWaysAndEverySplitAgree() {
    let bytes = randomBytes(100_000)
    var whole = SHA256(portable: true)
    whole.update(bytes)
    var pieces = SHA256()
    var at = 0
    while at < bytes.count {
      let next = min(at + Int.random(in: 1...3000), bytes.count)
      pieces.update(Array(bytes[at..<next]))
      at = next
    }
    #expect(pieces.hexDigest() == whole.hexDigest())
  }

  @Test(arguments: [true, false]) func zerosCountAsZeroBytes(portable: Bool) {
    for (before, zeros, after) in [(0, 64, 0), (3, 1, 5), (10, 54, 1), (63, 70000, 200), (64, 131_072, 0), (1, 62, 2)] {
      var counted = SHA256(portable: portable)
      var written = SHA256(portable: true)
      counted.update([UInt8](repeating: 7, count: before))
      counted.updateZeros(zeros)
      counted.update([UInt8](repeating: 9, count: after))
      written.update([UInt8](repeating: 7, count: before) + [UInt8](repeating: 0, count: zeros))
      written.update([UInt8](repeating: 9, count: after))
      #expect(counted.hexDigest() == written.hexDigest(), "\(before) \(zeros) \(after)")
    }
  }
}
