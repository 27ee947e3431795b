// The program of the deploy ramdisk: docs/agent-protocol.md says what it does, ramdisk/init who starts it.
//
//   steelyard-agent              claims the machine, runs the server's commands and switches the machine off
//   steelyard-agent upload-log   sends the kernel's log, after the agent itself broke down
import Agent
import Glibc

let sessionFile = "/run/steelyard-session"
let log = AgentLog()

func readCommandLine() -> String {
  let descriptor = open("/proc/cmdline", O_RDONLY | O_CLOEXEC)
  var bytes = [UInt8](repeating: 0, count: 8192)
  let count = read(descriptor, &bytes, bytes.count)
  close(descriptor)
  return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
}

do {
  let parameters = try KernelParameters(parsing: readCommandLine())
  if CommandLine.arguments.dropFirst().first == "upload-log" {
    Agent.uploadLog(sessionFile: sessionFile, parameters: parameters, log: log)
    exit(0)
  }
  let starter = LinuxStarter()
  let agent = Agent(parameters: parameters, log: log, sessionFile: sessionFile, starter: starter)
  switch agent.run() {
  case .dismissed(let reason): log.say("switching the machine off: \(reason)")
  case .failed(let reason): log.say("switching the machine off after a failure: \(reason)")
  case .rescue:
    log.say("the machine becomes its rescue system")
    exit(3)
  case .loaded(let system): log.say("switching the machine off: \(system.run(starter, log: log))")
  }
  log.say("the machine cannot be switched off: \(Agent.powerOff())")
  exit(1)
} catch {
  log.say("\(error)")
  exit(1)
}
