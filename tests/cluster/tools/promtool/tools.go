//go:build tools

// Package tools pins the promtool that the tests check metrics, alert rules and dashboard with.
package tools

import _ "github.com/prometheus/prometheus/cmd/promtool"
