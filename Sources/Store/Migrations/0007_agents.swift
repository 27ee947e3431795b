extension Migration {
  static let agents = Migration(
    number: 7, name: "agents",
    sql: """
      CREATE TABLE agent_sessions (
        node_uuid TEXT PRIMARY KEY REFERENCES nodes (uuid) ON DELETE CASCADE, workflow TEXT NOT NULL,
        boot_token TEXT, boot_token_hash TEXT, session_hash TEXT UNIQUE, claimed_at BIGINT, last_seen BIGINT, created_at BIGINT NOT NULL
      );
      CREATE TABLE agent_commands (
        id TEXT PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE, workflow TEXT NOT NULL,
        kind TEXT NOT NULL, parameters TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('pending','ok','failed')),
        percent BIGINT NOT NULL DEFAULT 0, message TEXT, remaining_seconds BIGINT, output TEXT, error TEXT,
        created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
      );
      CREATE INDEX agent_commands_node ON agent_commands (node_uuid, state);
      """)
}
