//go:build tools

// Package tools pins the sops that the tests hold DR-Syncer's own encryption against.
package tools

import _ "github.com/getsops/sops/v3/cmd/sops"
