extension Migration {
  /// A domain is a project with `is_domain`, as in Keystone, so that a project's parents end in its domain.
  /// A revocation makes void every token that matches all its columns that are not NULL and was issued before its time.
  static let identity = Migration(
    number: 2, name: "identity",
    sql: """
      CREATE TABLE identity_projects (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, domain_id TEXT REFERENCES identity_projects (id),
        parent_id TEXT REFERENCES identity_projects (id), is_domain BOOLEAN NOT NULL DEFAULT FALSE,
        is_enabled BOOLEAN NOT NULL DEFAULT TRUE, description TEXT NOT NULL DEFAULT '', tags TEXT NOT NULL DEFAULT '[]',
        extra TEXT NOT NULL DEFAULT '{}', created_at BIGINT NOT NULL,
        CHECK ((domain_id IS NULL) = is_domain)
      );
      CREATE UNIQUE INDEX identity_projects_name ON identity_projects (domain_id, name) WHERE domain_id IS NOT NULL;
      CREATE UNIQUE INDEX identity_domains_name ON identity_projects (name) WHERE domain_id IS NULL;
      CREATE INDEX identity_projects_parent ON identity_projects (parent_id);
      CREATE INDEX identity_projects_by_name ON identity_projects (name);
      CREATE TABLE identity_users (
        id TEXT PRIMARY KEY, domain_id TEXT NOT NULL REFERENCES identity_projects (id), name TEXT NOT NULL,
        is_enabled BOOLEAN NOT NULL DEFAULT TRUE, default_project_id TEXT, description TEXT,
        extra TEXT NOT NULL DEFAULT '{}', password_hash TEXT, created_at BIGINT NOT NULL, UNIQUE (domain_id, name)
      );
      CREATE INDEX identity_users_by_name ON identity_users (name);
      CREATE TABLE identity_groups (
        id TEXT PRIMARY KEY, domain_id TEXT NOT NULL REFERENCES identity_projects (id), name TEXT NOT NULL,
        description TEXT NOT NULL DEFAULT '', extra TEXT NOT NULL DEFAULT '{}', UNIQUE (domain_id, name)
      );
      CREATE TABLE identity_group_members (
        group_id TEXT NOT NULL REFERENCES identity_groups (id) ON DELETE CASCADE,
        user_id TEXT NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE, PRIMARY KEY (group_id, user_id)
      );
      CREATE INDEX identity_group_members_user ON identity_group_members (user_id);
      CREATE TABLE identity_roles (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT, extra TEXT NOT NULL DEFAULT '{}'
      );
      CREATE TABLE identity_implied_roles (
        prior_id TEXT NOT NULL REFERENCES identity_roles (id) ON DELETE CASCADE,
        implied_id TEXT NOT NULL REFERENCES identity_roles (id) ON DELETE CASCADE, PRIMARY KEY (prior_id, implied_id)
      );
      CREATE TABLE identity_assignments (
        holder_kind TEXT NOT NULL CHECK (holder_kind IN ('user','group')), holder_id TEXT NOT NULL,
        target_kind TEXT NOT NULL CHECK (target_kind IN ('project','domain','system')), target_id TEXT NOT NULL,
        role_id TEXT NOT NULL REFERENCES identity_roles (id) ON DELETE CASCADE,
        PRIMARY KEY (holder_kind, holder_id, target_kind, target_id, role_id)
      );
      CREATE INDEX identity_assignments_target ON identity_assignments (target_kind, target_id);
      CREATE TABLE identity_application_credentials (
        id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE, name TEXT NOT NULL,
        description TEXT, project_id TEXT NOT NULL REFERENCES identity_projects (id) ON DELETE CASCADE,
        role_ids TEXT NOT NULL, expires_at BIGINT, is_unrestricted BOOLEAN NOT NULL DEFAULT FALSE,
        secret_hash TEXT NOT NULL, created_at BIGINT NOT NULL, UNIQUE (user_id, name)
      );
      CREATE TABLE identity_revocations (
        audit_id TEXT, user_id TEXT, project_id TEXT, domain_id TEXT, application_credential_id TEXT,
        issued_before BIGINT NOT NULL
      );
      CREATE INDEX identity_revocations_time ON identity_revocations (issued_before);
      """)
}
