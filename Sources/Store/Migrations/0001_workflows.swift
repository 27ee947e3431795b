extension Migration {
  static let workflows = Migration(
    number: 1, name: "workflows",
    sql: """
      CREATE TABLE workflows (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, version BIGINT NOT NULL, subject TEXT NOT NULL, params TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('running','waiting','unwinding','done','undone','stuck')),
        error TEXT, owner TEXT, epoch BIGINT NOT NULL DEFAULT 0, lease_until BIGINT NOT NULL DEFAULT 0,
        wake_at BIGINT, wake_on TEXT, attempt BIGINT NOT NULL DEFAULT 0, cancel_requested TEXT,
        project TEXT, request_id TEXT, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
      );
      CREATE INDEX workflows_open ON workflows (state) WHERE state IN ('running','waiting','unwinding','stuck');
      CREATE INDEX workflows_subject ON workflows (subject, created_at);
      CREATE INDEX workflows_wake_on ON workflows (wake_on) WHERE wake_on IS NOT NULL;
      CREATE TABLE workflow_events (
        workflow TEXT NOT NULL REFERENCES workflows (id) ON DELETE CASCADE, seq BIGINT NOT NULL, step TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('started','succeeded','failed','undo_started','undone','undo_failed','operator')),
        attempt BIGINT NOT NULL DEFAULT 0, data TEXT, epoch BIGINT NOT NULL, at BIGINT NOT NULL,
        PRIMARY KEY (workflow, seq)
      );
      CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
      """)
}
