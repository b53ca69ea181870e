//! Header formats: views over bytes, values, and checksums.
