import Testing

@testable import HivePostgresCore

/// Against the vectors of the standards.
@Suite struct CryptographyTests {
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func sha256OfFIPS180(_ text: String, _ digest: String) {
    #expect(SHA256.hexadecimal(text.utf8) == digest)
  }

  @Test func sha256InPieces() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    for size in [1, 7, 55, 56, 63, 64, 65, 500] {
      var hash = SHA256()
      for start in stride(from: 0, to: bytes.count, by: size) {
        hash.update(bytes[start..<min(start + size, bytes.count)])
      }
      #expect(hash.finish() == SHA256.digest(bytes), "\(size)")
    }
  }

  @Test func hmacOfRFC4231() {
    func hexadecimal(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
    #expect(
      hexadecimal(HMAC(key: Array("Jefe".utf8)).code("what do ya want for nothing?".utf8))
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    #expect(
      hexadecimal(
        HMAC(key: [UInt8](repeating: 0xAA, count: 131)).code(
          "Test Using Larger Than Block-Size Key - Hash Key First".utf8))
        == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
  }

  /// RFC 7677, section 3: user "user", password "pencil".
  @Test func scramOfRFC7677() throws {
    let salt = try #require(Base64.bytes(standard: "W22ZaJ0SNY7soEsUEjb6gQ=="))
    let verifier = ScramVerifier(password: "pencil", salt: salt)
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    let message =
      "n=user,r=rOprNGfwEbeRWgbNEkqO,r=\(nonce),s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=\(nonce)"
    #expect(
      Base64.standardText(HMAC(key: verifier.serverKey).code(message.utf8))
        == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    #expect(ScramVerifier(verifier.text) == verifier)
    #expect(verifier.matches("pencil"))
    #expect(!verifier.matches("pencil "))
  }

  @Test(
    arguments: [
      ([], "", ""), ([0x66], "Zg==", "Zg"), ([0x66, 0x6F], "Zm8=", "Zm8"), ([0x66, 0x6F, 0x6F], "Zm9v", "Zm9v"),
      ([0xFB, 0xFF], "+/8=", "-_8"),
    ] as [([UInt8], String, String)])
  func base64OfRFC4648(_ bytes: [UInt8], _ standard: String, _ url: String) {
    #expect(Base64.standardText(bytes) == standard)
    #expect(Base64.urlText(bytes) == url)
    #expect(Base64.bytes(standard: standard) == bytes)
  }

  @Test(arguments: ["Zg", "Z===", "====", "Zm9v=", "Z*==", "Zg==Zg=="])
  func whatIsNotBase64IsRefused(_ text: String) {
    #expect(Base64.bytes(standard: text) == nil)
  }

  @Test func generatedPasswordsHave256BitsAndDiffer() throws {
    let passwords = try (0..<50).map { _ in try Password.generate() }
    #expect(Set(passwords).count == 50)
    for password in passwords {
      #expect(password.utf8.count == 43)
      try Password.check(password, role: "hive", name: "x")
    }
  }

  @Test(arguments: [
    "", "postgres", "PASSWORD", "hive", "genie_secure_password", "claude_secure_pass_2024",
    "your_jwt_secret_key_here_change_me",
    "please_change_me", "naïve-but-long-enough", "a\nb", String(repeating: "x", count: 513),
  ])
  func placeholdersAreRefused(_ password: String) {
    #expect(throws: Failure.self) { try Password.check(password, role: "hive", name: "x") }
  }
}
