{{- /* The CronJobs of volumes: who they are, what is mounted into their pods, and what they may do. */ -}}

{{- /*
Their names; a CronJob's has 52 characters at most. They begin alike, and so do their pods: a lock in the restic
repository names its pod, and one that is certainly ours can be told to be dead. A list of the context and what it does.
*/ -}}
{{- define "dr-syncer.jobname" -}}
{{- $name := include "dr-syncer.fullname" (index . 0) -}}
{{- if not (hasPrefix "dr-syncer" $name) -}}{{- $name = print "dr-syncer-" $name -}}{{- end -}}
{{- printf "%s-%s" ($name | trunc 45 | trimSuffix "-") (index . 1) -}}
{{- end -}}

{{- /* Which of them there are, as a list. `init` is only ever run by hand. */ -}}
{{- define "dr-syncer.jobs" -}}
{{- $names := list -}}
{{- if .Values.config.volumes -}}
{{- $names = append $names "init" -}}
{{- range $name := list "backup" "verify" "prune" -}}
{{- if (get $.Values $name).enabled -}}{{- $names = append $names $name -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{- /* Whether pruning has an address or credentials of its own. */ -}}
{{- define "dr-syncer.prunes.apart" -}}
{{- with .Values.prune -}}
{{- if and .enabled (or .repository .restic.existingSecret .restic.password) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Whether there are credentials for the recovery repository that can only read it. */ -}}
{{- define "dr-syncer.git.reads" -}}
{{- with .Values.gitReadOnly -}}
{{- if or .existingSecret .sshPrivateKey .token -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Whether a job has a configuration and credentials of its own. A list of the context and what it does. */ -}}
{{- define "dr-syncer.jobs.apart" -}}
{{- $context := index . 0 -}}
{{- $what := index . 1 -}}
{{- if and (include "dr-syncer.jobs.git" $what) (include "dr-syncer.git.reads" $context) -}}true
{{- else if eq $what "prune" -}}{{- include "dr-syncer.prunes.apart" $context -}}
{{- end -}}
{{- end -}}

{{- /*
The values as such a job has them: with its own address and credentials in the place of all others'. A list of the
context and what it does.
*/ -}}
{{- define "dr-syncer.jobs.values" -}}
{{- $context := index . 0 -}}
{{- $what := index . 1 -}}
{{- $values := deepCopy $context.Values -}}
{{- if and (eq $what "prune") (include "dr-syncer.prunes.apart" $context) -}}
{{- $prune := $context.Values.prune -}}
{{- if or $prune.restic.existingSecret $prune.restic.password -}}{{- $_ := set $values "restic" $prune.restic -}}{{- end -}}
{{- with $prune.repository -}}{{- $_ := set $values.config.volumes.restic "repository" . -}}{{- end -}}
{{- end -}}
{{- if include "dr-syncer.git.reads" $context -}}
{{- $git := deepCopy $context.Values.gitReadOnly -}}
{{- range list "knownHosts" "ca" -}}
{{- if not (get $git .) -}}{{- $_ := set $git . (get $context.Values.git .) -}}{{- end -}}
{{- end -}}
{{- $_ := set $values "git" $git -}}
{{- end -}}
{{- toYaml $values -}}
{{- end -}}

{{- /*
Of what is mounted beside dr-syncer.yaml, what a job needs, as a list: all need the restic repository; `verify` and
`prune` also need the recovery repository, whose recovery points name the snapshots that must be there. A list of the
context and what it does.
*/ -}}
{{- define "dr-syncer.jobs.files" -}}
{{- $files := list -}}
{{- $what := index . 1 -}}
{{- range include "dr-syncer.files" (index . 0) | fromYamlArray -}}
{{- if or (hasPrefix "restic/" .file) (and (include "dr-syncer.jobs.git" $what) (hasPrefix "git/" .file)) -}}{{- $files = append $files . -}}{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- /* Whether a job reads the recovery repository. */ -}}
{{- define "dr-syncer.jobs.git" -}}
{{- if has . (list "verify" "prune") -}}true{{- end -}}
{{- end -}}

{{- /* A CronJob. A list of the context, what it does, and the name of the ConfigMap and Secret with its files. */ -}}
{{- define "dr-syncer.cronjob" -}}
{{- $context := index . 0 -}}
{{- $what := index . 1 -}}
{{- $sources := index . 2 -}}
{{- $name := include "dr-syncer.jobname" (list $context $what) -}}
{{- $init := eq $what "init" -}}
{{- with get $context.Values (ternary "verify" $what $init) -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  {{- include "dr-syncer.meta.here" (list $context $name dict) | replace "component: exporter" (print "component: " $what) | nindent 2 }}
spec:
  {{- if $init }}
  # There is no such day: it is run by hand, once, by `kubectl create job --from=cronjob/…`.
  schedule: "0 0 31 2 *"
  suspend: true
  {{- else }}
  schedule: {{ .schedule | quote }}
  {{- with .timeZone }}
  timeZone: {{ . | quote }}
  {{- end }}
  suspend: {{ .suspend }}
  startingDeadlineSeconds: {{ .startingDeadlineSeconds }}
  {{- end }}
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: {{ .successfulJobsHistoryLimit }}
  failedJobsHistoryLimit: {{ .failedJobsHistoryLimit }}
  jobTemplate:
    metadata:
      labels:
        {{- include "dr-syncer.labels" (list $context dict) | replace "component: exporter" (print "component: " $what) | nindent 8 }}
    spec:
      activeDeadlineSeconds: {{ .activeDeadlineSeconds }}
      # A pod that was evicted, or whose node went away, is made again; one that failed by itself waits for its next time.
      backoffLimit: 2
      podFailurePolicy:
        rules:
          - action: Ignore
            onPodConditions: [{type: DisruptionTarget}]
          {{- if eq $what "backup" }}
          # Killed, as for want of memory, it may hold workloads still: the next pod lets them go before anything else.
          - action: Count
            onExitCodes: {containerName: {{ $what }}, operator: In, values: [137]}
          {{- end }}
          - action: FailJob
            onExitCodes: {containerName: {{ $what }}, operator: NotIn, values: [0]}
      template:
        metadata:
          labels:
            {{- include "dr-syncer.labels" (list $context $context.Values.podLabels) | replace "component: exporter" (print "component: " $what) | nindent 12 }}
          {{- with mustMerge (dict) $context.Values.podAnnotations $context.Values.annotations }}
          annotations:
            {{- toYaml . | nindent 12 }}
          {{- end }}
        spec:
          {{- if $init }}
          automountServiceAccountToken: false
          {{- else }}
          serviceAccountName: {{ $name }}
          automountServiceAccountToken: true
          {{- end }}
          enableServiceLinks: false
          restartPolicy: Never
          # What is under way is ended in order: movers unlock what they locked.
          terminationGracePeriodSeconds: {{ ternary 180 60 (eq $what "backup") }}
          {{- with include "dr-syncer.pod" $context | trim }}
          {{- . | nindent 10 }}
          {{- end }}
          {{- with $context.Values.affinity }}
          affinity:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          containers:
            - name: {{ $what }}
              image: {{ include "dr-syncer.image" $context }}
              imagePullPolicy: {{ $context.Values.image.pullPolicy }}
              args:
                - volumes
                - {{ $what }}
                - --config=/etc/dr-syncer/dr-syncer.yaml
                - --log-format={{ $context.Values.logFormat }}
                {{- with $context.Values.extraArgs }}
                {{- toYaml . | nindent 16 }}
                {{- end }}
              env:
                {{- include "dr-syncer.env" $context | nindent 16 }}
              {{- with $context.Values.envFrom }}
              envFrom:
                {{- toYaml . | nindent 16 }}
              {{- end }}
              terminationMessagePolicy: FallbackToLogsOnError
              {{- with $context.Values.securityContext }}
              securityContext:
                {{- toYaml . | nindent 16 }}
              {{- end }}
              {{- with .resources }}
              resources:
                {{- toYaml . | nindent 16 }}
              {{- end }}
              volumeMounts:
                - {name: config, mountPath: /etc/dr-syncer, readOnly: true}
                - {name: cache, mountPath: /var/cache/dr-syncer}
                - {name: tmp, mountPath: /tmp}
                {{- with $context.Values.extraVolumeMounts }}
                {{- toYaml . | nindent 16 }}
                {{- end }}
          volumes:
            - name: config
              projected:
                defaultMode: 0440
                sources:
                  {{- include "dr-syncer.sources" (list $context (include "dr-syncer.jobs.files" (list $context $what) | fromYamlArray) $sources) | nindent 18 }}
            - name: cache
              {{- include "dr-syncer.cache" $context | nindent 14 }}
            - name: tmp
              emptyDir: {}
            {{- with $context.Values.extraVolumes }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
{{- end -}}
{{- end -}}

{{- /* The way out of a job's pods. A list of the context and what it does. */ -}}
{{- define "dr-syncer.jobs.network" -}}
{{- $context := index . 0 -}}
{{- $what := index . 1 -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "dr-syncer.meta.here" (list $context (include "dr-syncer.jobname" .) dict) | replace "component: exporter" (print "component: " $what) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "dr-syncer.selector" $context | nindent 6 }}
      app.kubernetes.io/component: {{ $what }}
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "dr-syncer.egress.dns" $context | nindent 4 }}
    {{- if ne $what "init" }}
    {{- include "dr-syncer.egress.apiserver" $context | nindent 4 }}
    {{- end }}
    {{- include "dr-syncer.egress.restic" $context | nindent 4 }}
    {{- if include "dr-syncer.jobs.git" $what }}
    {{- with include "dr-syncer.egress.git" $context }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- with $context.Values.networkPolicy.extraEgress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
