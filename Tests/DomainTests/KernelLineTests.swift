import Domain
import Testing

@Suite struct KernelLineTests {
  @Test func wordsOfKernelsAreTaken() {
    for text in [
      "", "quiet", "root=LABEL=root ro console=ttyS0,115200n8", "ip=10.0.0.1::10.0.0.254:255.255.255.0:h:eth0:none",
      "rd.break a-b_c/d@e+f%20~[1]*", "-- single",
    ] { #expect(KernelLine(text)?.text == text) }
    #expect(KernelLine("%default% quiet")?.text == "console=tty0 console=ttyS0,115200 quiet")
    #expect(KernelLine(String(repeating: "a", count: 1024)) != nil)
  }

  @Test func whatMeansSomethingToIPXEIsNotTaken() {
    for character in [
      "\n", "\r", "\t", "\0", "$", "{", "}", "|", "&", "#", "\\", "\"", "'", ";", "<", ">", "!", "?", "é", "`",
    ] {
      #expect(KernelLine("a \(character) b") == nil, "\(character)")
    }
    #expect(KernelLine(String(repeating: "a", count: 1025)) == nil)
    #expect(KernelLine(String(repeating: "%default%", count: 100)) == nil, "it grows beyond what fits")
  }
}
