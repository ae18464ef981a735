module dr-syncer.io/tests/e2e/lab/modules/pause

go 1.26.0
