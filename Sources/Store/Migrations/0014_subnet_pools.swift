extension Migration {
  /// Subnet pools, the address scopes that they are in, and the pool that a subnet was taken from.
  static let subnetPools = Migration(
    number: 14, name: "subnet pools",
    sql: """
      CREATE TABLE address_scopes (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, name TEXT NOT NULL,
        ip_version BIGINT NOT NULL CHECK (ip_version IN (4, 6)), created_at BIGINT NOT NULL
      );
      CREATE INDEX address_scopes_project ON address_scopes (project_id);
      CREATE TABLE subnet_pools (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
        ip_version BIGINT NOT NULL CHECK (ip_version IN (4, 6)), address_scope_id TEXT REFERENCES address_scopes (id),
        prefixes TEXT NOT NULL, min_prefix BIGINT NOT NULL, max_prefix BIGINT NOT NULL, default_prefix BIGINT NOT NULL,
        default_quota BIGINT, is_default BIGINT NOT NULL, revision BIGINT NOT NULL, created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
      );
      CREATE INDEX subnet_pools_project ON subnet_pools (project_id);
      CREATE INDEX subnet_pools_scope ON subnet_pools (address_scope_id);
      CREATE UNIQUE INDEX subnet_pools_default ON subnet_pools (ip_version) WHERE is_default = 1;
      ALTER TABLE subnets ADD COLUMN pool_id TEXT REFERENCES subnet_pools (id);
      CREATE INDEX subnets_pool ON subnets (pool_id) WHERE pool_id IS NOT NULL;
      """)
}
