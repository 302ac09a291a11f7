{{/* Places in the container. */}}
{{- define "lle.journal" -}}/var/lib/libvirt-lifecycle-exporter{{- end }}
{{- define "lle.web" -}}/etc/libvirt-lifecycle-exporter/web{{- end }}
{{- define "lle.client" -}}/etc/libvirt-lifecycle-exporter/client{{- end }}
{{- define "lle.otlp" -}}/etc/libvirt-lifecycle-exporter/otlp{{- end }}

{{/* What may hold anything is quoted. */}}
{{- define "lle.args" -}}
{{- $v := .Values -}}
{{- $mode := dict "libvirtd" "legacy" "virtqemud" "direct" -}}
{{- range default (list (printf "qemu+unix:///system?mode=%s" (get $mode $v.libvirt.daemon))) $v.libvirt.uris }}
- {{ print "--libvirt.uri=" . | quote }}
{{- end }}
{{- if $v.libvirt.logs.enabled }}
- {{ print "--libvirt.log-dir=" $v.libvirt.logs.path | quote }}
{{- end }}
- {{ print "--domain.include=" $v.domains.include | quote }}
{{- with $v.domains.exclude }}
- {{ print "--domain.exclude=" . | quote }}
{{- end }}
- --web.listen-address=:{{ $v.web.port }}
{{- with $v.web.config }}
{{- if .existingSecret }}
- {{ printf "--web.config.file=%s/%s" (include "lle.web" $) .key | quote }}
{{- end }}
{{- end }}
- --journal.path={{ ternary "none" (printf "%s/journal.sqlite" (include "lle.journal" .)) (eq $v.journal.type "none") }}
- --journal.retention={{ $v.journal.retention }}
- --journal.retention-size={{ $v.journal.retentionSize }}
- {{ ternary "--metrics.state-set" "--no-metrics.state-set" $v.series.stateSet }}
- --series.ttl={{ $v.series.ttl }}
- --series.limit={{ int64 $v.series.limit }}
- {{ ternary "--hang.emulator" "--no-hang.emulator" $v.hang.emulator.enabled }}
- --hang.emulator-interval={{ $v.hang.emulator.interval }}
- --hang.emulator-threshold={{ $v.hang.emulator.threshold }}
- --hang.watchdog-recovery={{ $v.hang.watchdogRecovery }}
{{- if $v.hang.guestAgent.enabled }}
- --hang.guest-agent
- --hang.guest-agent-interval={{ $v.hang.guestAgent.interval }}
- --hang.guest-agent-timeout={{ $v.hang.guestAgent.timeout }}
{{- end }}
{{- if $v.hang.vcpu.enabled }}
- --hang.vcpu
- --hang.vcpu-window={{ $v.hang.vcpu.window }}
{{- end }}
{{- with $v.otlp }}
{{- if .endpoint }}
- --otel.events={{ .events }}
- {{ ternary "--otel.run-spans" "--no-otel.run-spans" .runSpans }}
- --otel.max-age={{ .maxAge }}
- --otel.catch-up-rate={{ int64 .catchUpRate }}
{{- end }}
{{- end }}
- --log.level={{ $v.log.level }}
- --log.format={{ $v.log.format }}
{{- with $v.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "lle.env" -}}
{{- with .Values.otlp }}
{{- if .endpoint }}
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol }}
{{- if .headers.existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .headers.existingSecret | quote }}
      key: {{ .headers.key | quote }}
{{- end }}
{{- if .tls.existingSecret }}
- name: OTEL_EXPORTER_OTLP_CERTIFICATE
  value: {{ include "lle.otlp" $ }}/ca.crt
{{- if .tls.clientCertificate }}
- name: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE
  value: {{ include "lle.otlp" $ }}/tls.crt
- name: OTEL_EXPORTER_OTLP_CLIENT_KEY
  value: {{ include "lle.otlp" $ }}/tls.key
{{- end }}
{{- end }}
{{- /* The pod's own host name would be taken for the hypervisor's. Of connections of one's own choice it may be the wrong one. */}}
{{- $attributes := dict "k8s.node.name" "$(NODE_NAME)" }}
{{- if not $.Values.libvirt.uris }}
{{- $_ := set $attributes "host.name" "$(NODE_NAME)" }}
{{- end }}
{{- $pairs := list }}
{{- range $key, $value := merge dict (default dict .resourceAttributes) $attributes }}
{{- $pairs = append $pairs (printf "%s=%s" $key $value) }}
{{- end }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ join "," $pairs | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
A kubelet can say https, and does not verify; it can show neither a user (but for one that stands in the manifest for
everybody to read) nor a certificate. Then the container asks itself.
*/}}
{{- define "lle.asks" -}}
{{- with .Values.web.client }}{{ if or .basicAuth .certificate }}yes{{ end }}{{ end }}
{{- end }}

{{- define "lle.ask" -}}
- python
- -m
- libvirt_lifecycle_exporter.cli.healthcheck
{{- if include "lle.asks" . }}
- --credentials={{ include "lle.client" . }}
{{- end }}
{{- end }}

{{- define "lle.probe" -}}
{{- if include "lle.asks" .root -}}
exec:
  command:
    {{- include "lle.ask" .root | nindent 4 }}
    - {{ include "lle.scheme" .root }}://localhost:{{ .root.Values.web.port }}{{ .path }}
{{- else -}}
httpGet:
  path: {{ .path }}
  port: metrics
  scheme: {{ include "lle.scheme" .root | upper }}
{{- end }}
{{ omit .probe "enabled" | toYaml }}
{{- end }}
