{{- /* What the importer's chart has of its own; the exporter's has a file of the same name. */ -}}

{{- define "dr-syncer.side" -}}importer{{- end -}}

{{- /* The name of its Lease and of its status. */ -}}
{{- define "dr-syncer.lease" -}}
{{- $importer := .Values.config.importer -}}
{{- printf "dr-syncer-importer-%s" ($importer.name | default $importer.cluster) -}}
{{- end -}}

{{- define "dr-syncer.files.side" -}}
{{- $age := .Values.age -}}
{{- $webhook := .Values.webhook -}}
{{- $files := list (dict "at" (list "importer" "secrets" "ageKeyFile") "file" "age/age.key" "existing" $age.existingSecret "key" $age.key "secret" $age.identities) -}}
{{- $files = append $files (dict "at" (list "repository" "verify" "allowedSignersFile") "file" "allowed_signers" "text" .Values.allowedSigners) -}}
{{- $files = append $files (dict "at" (list "server" "webhook" "secretFile") "file" "webhook/secret" "existing" $webhook.existingSecret "key" $webhook.key "secret" $webhook.secret) -}}
{{- toYaml $files -}}
{{- end -}}

{{- /* Whether its account restores volumes. */ -}}
{{- define "dr-syncer.restores" -}}
{{- $follows := include "dr-syncer.at" (list .Values.config (list "volumes" "restore" "follow")) -}}
{{- if and .Values.config.volumes (or .Values.rbac.restores (eq $follows "true")) -}}true{{- end -}}
{{- end -}}

{{- /* What is mounted into its pods: all of it, since they hand the restic repository's credentials to movers. */ -}}
{{- define "dr-syncer.files.service" -}}
{{- include "dr-syncer.files" . -}}
{{- end -}}

{{- /* Where its pods go beyond DNS, API server and Git. */ -}}
{{- define "dr-syncer.egress.service" -}}
{{- include "dr-syncer.egress.restic" . -}}
{{- end -}}

{{- define "dr-syncer.fill.side" -}}
{{- $context := index . 0 -}}
{{- $config := index . 1 -}}
{{- include "dr-syncer.fill" (list $config (list "importer" "stateNamespace") $context.Release.Namespace) -}}
{{- $entry := dict -}}
{{- if ne (toJson $context.Values.rbac.types) "[\"*\"]" -}}{{- $_ := set $entry "types" $context.Values.rbac.types -}}{{- end -}}
{{- with $context.Values.rbac.namespaces -}}{{- $_ := set $entry "namespaces" . -}}{{- end -}}
{{- with $entry -}}
{{- include "dr-syncer.fill" (list $config (list "importer" "select" "include") (list .)) -}}
{{- end -}}
{{- end -}}

{{- /* The namespace of its inventory. */ -}}
{{- define "dr-syncer.state" -}}
{{- .Values.config.importer.stateNamespace | default .Release.Namespace -}}
{{- end -}}

{{- /* Where the Git server posts to. */ -}}
{{- define "dr-syncer.webhook.path" -}}
{{- $server := .Values.config.server | default dict -}}
{{- ($server.webhook | default dict).path | default "/webhook" -}}
{{- end -}}

{{- define "dr-syncer.webhook" -}}
{{- if or .Values.webhook.existingSecret .Values.webhook.secret (include "dr-syncer.at" (list .Values.config (list "server" "webhook" "secretFile"))) -}}true{{- end -}}
{{- end -}}

{{- define "dr-syncer.checks.side" -}}
{{- $importer := list "importer" -}}
{{- $included := include "dr-syncer.at" (list .Values.config (list "importer" "select" "include")) -}}
{{- $mapped := include "dr-syncer.at" (list .Values.config (list "importer" "transforms" "namespaces")) | default "{}" -}}
{{- if and .Values.rbac.namespaces (not $included) (ne $mapped "{}") -}}
{{- fail "rbac.namespaces: with config.importer.transforms.namespaces, config.importer.select.include must say which namespaces are imported, as Git has them" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host: under which name does the Git server reach the webhook?" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not (include "dr-syncer.webhook" .)) -}}
{{- fail "webhook.existingSecret: the ingress is for the webhook, and without a secret there is none; name one, or set webhook.secret" -}}
{{- end -}}
{{- end -}}
