// Where the definitions of VolumeSnapshots come from that tests install: this module brings its CRDs along.
module dr-syncer.io/tests/snapshots

go 1.24.0

require github.com/kubernetes-csi/external-snapshotter/client/v8 v8.2.0
