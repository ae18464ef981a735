"""The harness: real control planes, real Git servers, and proxies that break the connection to them."""
