// The agent of Benchmarks/deploy: the ramdisk's own program (ramdisk/build-agent with this file in the place of main.swift) on a folder
// that stands in for a machine.
//
//   deploy-agent SERVER TOKEN MAC FOLDER     FOLDER has sys/, proc/ and dev/; ends where the real one switches the machine off
import Agent
import CLinux
import Glibc
import Wire

func processorSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

let words = CommandLine.arguments
guard words.count == 5, let server = ServerAddress(words[1]) else {
  print("usage: deploy-agent SERVER TOKEN MAC FOLDER")
  exit(2)
}
let machine = Machine(sys: words[4] + "/sys", proc: words[4] + "/proc", dev: words[4] + "/dev")
let agent = Agent(
  parameters: KernelParameters(server: server, token: words[2], mac: words[3]), machine: machine, log: AgentLog())
let ending = agent.run()
print("cpu \(processorSeconds())")
switch ending {
case .dismissed, .rescue, .loaded: exit(0)
case .failed(let reason):
  print("failed: \(reason)")
  exit(1)
}
