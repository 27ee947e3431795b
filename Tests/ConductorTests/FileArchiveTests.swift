import Conductor
import DriverInterfaces
import Processes
import TestSupport
import Testing
import Wire

/// The config drive of machines that run from their memory, read back by cpio.
@Suite struct FileArchiveTests {
  @Test func cpioFindsEveryFileAsItWas() async throws {
    try await withFolder("archive") { folder in
      let path = "\(folder)/config"
      try await ConfigDrive().makeArchive(
        [
          "meta_data": ["uuid": "1", "hostname": "h"], "user_data": "#!/bin/sh\necho hello\n",
          "network_data": ["links": []],
        ], at: path)
      let listed = try await runChecked("cpio", ["-itv", "--quiet", "-F", path]).text
      #expect(listed.contains("var/lib/cloud/seed/config_drive/openstack/latest/meta_data.json"), "\(listed)")
      #expect(listed.contains("drwxr-xr-x") && listed.contains("-rw-------"))
      try await runChecked("sh", ["-c", "cd \"$0\" && cpio -idm --quiet <config", folder])
      let latest = "\(folder)/var/lib/cloud/seed/config_drive/openstack/latest"
      #expect(try await runChecked("cat", ["\(latest)/user_data"]).text == "#!/bin/sh\necho hello\n")
      #expect(try JSON(parsing: try await runChecked("cat", ["\(latest)/meta_data.json"]).text)["hostname"] == "h")
      #expect(try await runChecked("cat", ["\(latest)/network_data.json"]).text == #"{"links":[]}"#)
      let size = try #require(Int(try await runChecked("stat", ["-c", "%s", path]).text.split(separator: "\n")[0]))
      #expect(size.isMultiple(of: 512))
    }
  }

  @Test func anISOHasNoPlaceInMemory() async throws {
    try await withFolder("archive") { folder in
      for content: JSON in ["H4sI", 5, nil, ["script": "x"], ["meta_data": "x"]] {
        await #expect(throws: DriverError.self, "\(content)") {
          try await ConfigDrive().makeArchive(content, at: "\(folder)/config")
        }
      }
      #expect(fileNames(in: folder).isEmpty)
    }
  }
}
