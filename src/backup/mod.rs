//! Makes backups of what logmedic knows, proves them, and brings them back.
