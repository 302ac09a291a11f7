{{- define "lle.mounts" -}}
{{- $v := .Values -}}
- name: libvirt
  mountPath: /run/libvirt
  readOnly: true
  # Whatever is mounted there later, too, such as by libvirt's own container.
  mountPropagation: HostToContainer
{{- if ne $v.journal.type "none" }}
- name: journal
  mountPath: {{ include "lle.journal" . }}
{{- end }}
- name: tmp
  mountPath: /tmp
{{- if $v.libvirt.logs.enabled }}
- name: logs
  mountPath: {{ $v.libvirt.logs.path | quote }}
  readOnly: true
{{- end }}
{{- if $v.web.config.existingSecret }}
- name: web
  mountPath: {{ include "lle.web" . }}
  readOnly: true
{{- end }}
{{- if include "lle.asks" . }}
- name: client
  mountPath: {{ include "lle.client" . }}
  readOnly: true
{{- end }}
{{- if and $v.otlp.endpoint $v.otlp.tls.existingSecret }}
- name: otlp
  mountPath: {{ include "lle.otlp" . }}
  readOnly: true
{{- end }}
{{- if and $v.otlp.endpoint $v.otlp.machineId }}
- name: machine-id
  mountPath: /etc/machine-id
  readOnly: true
{{- end }}
{{- with $v.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "lle.volumes" -}}
{{- $v := .Values -}}
- name: libvirt
  hostPath:
    path: {{ $v.libvirt.runDir | quote }}
    type: {{ $v.libvirt.runDirType }}
{{- if eq $v.journal.type "hostPath" }}
- name: journal
  hostPath:
    path: {{ $v.journal.hostPath.path | quote }}
    type: DirectoryOrCreate
{{- else if eq $v.journal.type "emptyDir" }}
- name: journal
  emptyDir:
    {{- with $v.journal.emptyDir.sizeLimit }}
    sizeLimit: {{ . | quote }}
    {{- else }} {}
    {{- end }}
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- if $v.libvirt.logs.enabled }}
- name: logs
  hostPath:
    path: {{ $v.libvirt.logs.path | quote }}
    type: Directory
{{- end }}
{{- with $v.web.config.existingSecret }}
- name: web
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- if include "lle.asks" . }}
{{ include "lle.client-volume" . }}
{{- end }}
{{- if and $v.otlp.endpoint $v.otlp.tls.existingSecret }}
- name: otlp
  secret:
    secretName: {{ $v.otlp.tls.existingSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- if and $v.otlp.endpoint $v.otlp.machineId }}
- name: machine-id
  hostPath:
    path: /etc/machine-id
    type: File
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "lle.client-volume" -}}
- name: client
  secret:
    secretName: {{ .Values.web.client.existingSecret | quote }}
    defaultMode: 0440
{{- end }}
