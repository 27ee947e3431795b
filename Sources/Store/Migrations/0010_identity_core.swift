extension Migration {
  /// Roles of domains and inherited assignments, rules for passwords, access rules, a catalog that can be added to, limits.
  ///
  /// SQLite cannot change a key in place, so roles and what refers to them are built anew; the tables that refer go
  /// first, because dropping a table deletes its rows and those that depend on them. A login failure is a row, so that a
  /// lock outlives the server. Credentials and passwords in domains' options are sealed.
  static let identityCore = Migration(
    number: 10, name: "identity_core",
    sql: """
      ALTER TABLE identity_projects ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
      ALTER TABLE identity_users ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
      ALTER TABLE identity_users ADD COLUMN password_changed_at BIGINT;
      ALTER TABLE identity_users ADD COLUMN password_expires_at BIGINT;
      CREATE TABLE identity_old_passwords (
        user_id TEXT NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE, password_hash TEXT NOT NULL,
        replaced_at BIGINT NOT NULL
      );
      CREATE INDEX identity_old_passwords_user ON identity_old_passwords (user_id, replaced_at);
      CREATE TABLE identity_login_failures (
        user_id TEXT PRIMARY KEY REFERENCES identity_users (id) ON DELETE CASCADE, failures BIGINT NOT NULL,
        failed_at BIGINT NOT NULL
      );

      CREATE TABLE identity_roles_new (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, domain_id TEXT REFERENCES identity_projects (id) ON DELETE CASCADE,
        description TEXT, options TEXT NOT NULL DEFAULT '{}', extra TEXT NOT NULL DEFAULT '{}'
      );
      INSERT INTO identity_roles_new (id, name, description, extra)
        SELECT id, name, description, extra FROM identity_roles;
      CREATE TABLE identity_implied_roles_new (
        prior_id TEXT NOT NULL REFERENCES identity_roles_new (id) ON DELETE CASCADE,
        implied_id TEXT NOT NULL REFERENCES identity_roles_new (id) ON DELETE CASCADE,
        PRIMARY KEY (prior_id, implied_id)
      );
      INSERT INTO identity_implied_roles_new SELECT prior_id, implied_id FROM identity_implied_roles;
      CREATE TABLE identity_assignments_new (
        holder_kind TEXT NOT NULL CHECK (holder_kind IN ('user','group')), holder_id TEXT NOT NULL,
        target_kind TEXT NOT NULL CHECK (target_kind IN ('project','domain','system')), target_id TEXT NOT NULL,
        role_id TEXT NOT NULL REFERENCES identity_roles_new (id) ON DELETE CASCADE,
        is_inherited BOOLEAN NOT NULL DEFAULT FALSE,
        PRIMARY KEY (holder_kind, holder_id, target_kind, target_id, role_id, is_inherited)
      );
      INSERT INTO identity_assignments_new (holder_kind, holder_id, target_kind, target_id, role_id)
        SELECT holder_kind, holder_id, target_kind, target_id, role_id FROM identity_assignments;
      DROP TABLE identity_assignments;
      DROP TABLE identity_implied_roles;
      DROP TABLE identity_roles;
      ALTER TABLE identity_roles_new RENAME TO identity_roles;
      ALTER TABLE identity_implied_roles_new RENAME TO identity_implied_roles;
      ALTER TABLE identity_assignments_new RENAME TO identity_assignments;
      CREATE UNIQUE INDEX identity_roles_name ON identity_roles (name) WHERE domain_id IS NULL;
      CREATE UNIQUE INDEX identity_domain_roles_name ON identity_roles (domain_id, name) WHERE domain_id IS NOT NULL;
      CREATE INDEX identity_assignments_target ON identity_assignments (target_kind, target_id);
      CREATE INDEX identity_assignments_role ON identity_assignments (role_id);

      CREATE TABLE identity_access_rules (
        id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
        service TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, UNIQUE (user_id, service, method, path)
      );
      CREATE TABLE identity_credential_rules (
        credential_id TEXT NOT NULL REFERENCES identity_application_credentials (id) ON DELETE CASCADE,
        rule_id TEXT NOT NULL REFERENCES identity_access_rules (id), PRIMARY KEY (credential_id, rule_id)
      );
      CREATE INDEX identity_credential_rules_rule ON identity_credential_rules (rule_id);
      ALTER TABLE identity_revocations ADD COLUMN user_domain_id TEXT;
      ALTER TABLE identity_revocations ADD COLUMN is_system BOOLEAN NOT NULL DEFAULT FALSE;

      CREATE TABLE identity_regions (
        id TEXT PRIMARY KEY, parent_id TEXT REFERENCES identity_regions (id), description TEXT NOT NULL DEFAULT '',
        extra TEXT NOT NULL DEFAULT '{}'
      );
      INSERT INTO identity_regions (id) VALUES ('RegionOne');
      CREATE TABLE identity_services (
        id TEXT PRIMARY KEY, type TEXT NOT NULL, name TEXT, description TEXT,
        is_enabled BOOLEAN NOT NULL DEFAULT TRUE, extra TEXT NOT NULL DEFAULT '{}'
      );
      CREATE TABLE identity_endpoints (
        id TEXT PRIMARY KEY, service_id TEXT NOT NULL, interface TEXT NOT NULL, region_id TEXT REFERENCES identity_regions (id),
        url TEXT NOT NULL, is_enabled BOOLEAN NOT NULL DEFAULT TRUE, extra TEXT NOT NULL DEFAULT '{}'
      );
      CREATE INDEX identity_endpoints_service ON identity_endpoints (service_id);
      CREATE TABLE identity_endpoint_groups (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT, filters TEXT NOT NULL
      );
      CREATE TABLE identity_project_endpoints (
        project_id TEXT NOT NULL REFERENCES identity_projects (id) ON DELETE CASCADE, endpoint_id TEXT NOT NULL,
        PRIMARY KEY (project_id, endpoint_id)
      );
      CREATE TABLE identity_project_endpoint_groups (
        project_id TEXT NOT NULL REFERENCES identity_projects (id) ON DELETE CASCADE,
        group_id TEXT NOT NULL REFERENCES identity_endpoint_groups (id) ON DELETE CASCADE,
        PRIMARY KEY (project_id, group_id)
      );
      CREATE TABLE identity_policies (
        id TEXT PRIMARY KEY, type TEXT NOT NULL, content TEXT NOT NULL, extra TEXT NOT NULL DEFAULT '{}'
      );

      CREATE TABLE identity_credentials (
        id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
        project_id TEXT REFERENCES identity_projects (id) ON DELETE CASCADE, type TEXT NOT NULL, sealed_blob TEXT NOT NULL
      );
      CREATE INDEX identity_credentials_user ON identity_credentials (user_id);
      CREATE TABLE identity_domain_options (
        domain_id TEXT NOT NULL REFERENCES identity_projects (id) ON DELETE CASCADE, group_name TEXT NOT NULL,
        name TEXT NOT NULL, value TEXT NOT NULL, is_sealed BOOLEAN NOT NULL DEFAULT FALSE,
        PRIMARY KEY (domain_id, group_name, name)
      );

      CREATE TABLE identity_registered_limits (
        id TEXT PRIMARY KEY, service_id TEXT NOT NULL, region_id TEXT REFERENCES identity_regions (id),
        resource_name TEXT NOT NULL, default_limit BIGINT NOT NULL, description TEXT
      );
      CREATE UNIQUE INDEX identity_registered_limits_subject
        ON identity_registered_limits (service_id, COALESCE(region_id, ''), resource_name);
      CREATE TABLE identity_limits (
        id TEXT PRIMARY KEY, registered_limit_id TEXT NOT NULL REFERENCES identity_registered_limits (id),
        project_id TEXT NOT NULL REFERENCES identity_projects (id) ON DELETE CASCADE,
        resource_limit BIGINT NOT NULL, description TEXT, UNIQUE (registered_limit_id, project_id)
      );
      CREATE INDEX identity_limits_project ON identity_limits (project_id);
      """)
}
