/// What the agent in the ramdisk and the server must have in common.
public enum AgentProtocol {
  /// The version of docs/agent-protocol.md that this program speaks. It is raised with every change that makes an older agent do
  /// something else than what the server asks for.
  public static let version = 4
}
