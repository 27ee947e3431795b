import Domain
import Testing
import Wire

@testable import IronicAPI

@Suite struct SecretMaskTests {
  private func written(_ text: String) -> String {
    var text = text
    var writer = JSONWriter()
    text.withUTF8 { SecretMask.write($0, &writer) }
    return writer.string
  }

  /// The stored text is masked without being taken apart; the result is that of the tree.
  @Test(arguments: [
    #"{}"#, #"[]"#, #"{"a":1}"#, #"{"ipmi_password":"x"}"#, #"{"ipmi_password":"x","ipmi_username":"y"}"#,
    #"{"a":{"Secret":{"b":[1,{"c":"}"}]},"d":2}}"#, #"{"token":[1,2,[3]],"x":[{"my_TOKEN":5},{"token":-1.5}]}"#,
    #"{"password":null,"secret":true,"token":false,"n":"password"}"#, #"{"configdrive":"a\\\"b","z":"\\"}"#,
    #"{"n":"a \"secret\": b","secret":""}"#, #"{"pass\u0077ord":"x"}"#, #"{"x":["secret","token"],"secrets":12}"#,
    #"{"image_url_sig":"s","priv_key":"p","private_key":"q","auth_key":"r","_key":"t"}"#, #"{"secret":1}"#,
    #"{"é":"ü","Pässword":"1","ipmi_PassWord":"é"}"#, #"[{"secret":[[]]},7]"#,
  ])
  func masksWhatTheTreeMasks(text: String) throws {
    let json = try JSON(parsing: text)
    #expect(try JSON(parsing: written(text)) == SecretMask.masked(json))
  }
  @Test func nothingOfASecretIsLeft() {
    let out = written(
      #"{"ipmi_password":"hunter2","deep":[{"user_secret":{"a":"hunter2","b":["hunter2"]}}],"token":2222}"#)
    #expect(!out.contains("hunter2") && !out.contains("2222"))
    #expect(written("") == "null")
  }
  /// Half a document, which no store holds, is no reason to read beyond it.
  @Test func cutTextIsSafe() {
    let text = #"{"a":{"secret":["x\"y",{"b":1}]},"token":"abc"}"#
    for count in 1...text.utf8.count { _ = written(String(decoding: text.utf8.prefix(count), as: UTF8.self)) }
  }
}
