import Conductor
import Cryptography
import Domain
import Glibc
import Logging
import Store
import TestSupport
import Wire
import Workflows

// crash-worker FOLDER SCENARIO [kill=N] [fail=STEP] [empty=FILE] [twice] [points]
// Runs one workflow to its end on a database and a world in FOLDER; `kill=N` ends the process with SIGKILL at the N-th point
// between two instructions that matter. Started again without it, it must bring everything to an end.

var options: [String: String] = [:]
for argument in CommandLine.arguments.dropFirst(3) {
  let parts = argument.split(separator: "=", maxSplits: 1).map { String($0) }
  options[parts[0]] = parts.count > 1 ? parts[1] : "1"
}
guard CommandLine.arguments.count >= 3, let scenario = Scenario(rawValue: CommandLine.arguments[2]) else {
  print("usage: crash-worker FOLDER SCENARIO [kill=N] [fail=STEP] [empty=FILE] [twice] [points]")
  print(Scenario.allCases.map(\.rawValue).joined(separator: " "))
  exit(2)
}
do {
  var parts = SiteParts()
  // What takes an image in is real where that is what is looked at.
  let isCaptured = [.captureDisk, .shelveServer].contains(scenario)
  let folder = isCaptured ? try ImageFolder(CommandLine.arguments[1] + "/images") : nil
  if let folder {
    parts.images = { ImageCache(database: $0, folder: folder, logger: Logger(label: "images")) }
  }
  let site = try CrashSite(folder: CommandLine.arguments[1], options: options, parts: parts)
  try await folder?.prepare(site.database)
  try await site.run(scenario)
  exit(0)
} catch {
  print("crash-worker: \(error)")
  exit(1)
}
