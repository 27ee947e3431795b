import Testing

@testable import Agent

@Suite struct KernelParametersTests {
  let token = String(repeating: "a", count: 41) + "-_"

  @Test func theServersParametersAreRead() throws {
    let line =
      "BOOT_IMAGE=kernel steelyard.server=http://10.77.0.1:8077 console=ttyS0,115200 steelyard.token=\(token) "
      + "steelyard.mac=52:54:00:AA:00:01\n"
    let parameters = try KernelParameters(parsing: line)
    #expect(parameters.server.description == "http://10.77.0.1:8077")
    #expect(parameters.token == token)
    #expect(parameters.mac == "52:54:00:aa:00:01")
  }

  @Test func theFirstOfTwoCounts() throws {
    let line = "steelyard.server=http://10.0.0.1 steelyard.token=\(token) steelyard.mac=52:54:00:aa:00:01"
    let parameters = try KernelParameters(parsing: line + " steelyard.server=http://6.6.6.6")
    #expect(parameters.server.host == "10.0.0.1")
    #expect(parameters.server.port == 80)
  }

  @Test(arguments: [
    "steelyard.server=https://10.0.0.1", "steelyard.server=http://deploy.example:80",
    "steelyard.server=http://1.2.3.4:0",
    "steelyard.server=http://1.2.3.4:99999", "steelyard.server=http://1.2.3.4/path", "steelyard.server", "",
  ]) func aServerThatIsNoAddressIsRefused(server: String) {
    #expect(throws: AgentError.self) {
      try KernelParameters(parsing: "\(server) steelyard.token=\(token) steelyard.mac=52:54:00:aa:00:01")
    }
  }

  @Test func noErrorTellsTheToken() {
    let bad = "secret secret!"
    do {
      _ = try KernelParameters(parsing: "steelyard.server=http://1.2.3.4 steelyard.token=\(bad) steelyard.mac=x")
      Issue.record("accepted")
    } catch {
      #expect(!"\(error)".contains("secret"))
    }
  }

  @Test func addressesOfVersionSixAreRead() throws {
    let address = try #require(ServerAddress("http://[fd00::1]:8077"))
    #expect(address.description == "http://[fd00::1]:8077")
    #expect(ServerAddress("http://[fd00::zz]:8077") == nil)
  }
}
