//go:build tools

// Package tools pins the rest-server that tests back up to, also append-only.
package tools

import _ "github.com/restic/rest-server/cmd/rest-server"
