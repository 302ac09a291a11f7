; Boot sector of a guest: boots in a fraction of a second and performs one action, the MODE.
;   nasm -f bin -D MODE=PANIC -D DELAY=2 boot.asm -o panic.img
; Actions that end in a boot (REBOOT, TRIPLEFAULT, PANIC, WATCHDOG, POWEROFF_ONCE) run once: the second boot idles.
; It writes B to the first serial port (0x3f8) after the boot, waits DELAY timer ticks (18.2 per second),
; writes G, and acts (POWERBUTTON writes R when the button is enabled). Ports are those of QEMU's i440fx
; machine under SeaBIOS: power management at 0x600.

%define IDLE 0
%define PANIC 1
%define CRASHLOAD 2
%define POWEROFF 3
%define REBOOT 4
%define WATCHDOG 5
%define HANG 6
%define SPIN 7
%define WRITE 8
%define TRIPLEFAULT 9
%define S3 10
%define S4 11
%define POWERBUTTON 12
%define DIRTY 13
%define POWEROFF_ONCE 14
%ifndef MODE
%define MODE IDLE
%endif
%ifndef DELAY
%define DELAY 2
%endif

%define SERIAL 0x3f8
%define PM1_STATUS 0x600
%define PM1_ENABLE 0x602
%define PM1_CONTROL 0x604
%define SLEEP_ENABLE 0x2000
%define SLEEP_S3 0x0400
%define SLEEP_S4 0x0800
%define POWER_BUTTON 0x0100
%define PVPANIC 0x505
%define IB700_START 0x443
%define RESET_CONTROL 0xcf9
%define KEYBOARD 0x64
%define BIOS_TICKS 0x46c
%define CMOS_INDEX 0x70
%define CMOS_DATA 0x71
%define CMOS_SPARE 0x6a
%define DONE 0x5a
%define SECOND_DISK 0x81

%macro send 1
        mov dx, SERIAL
        mov al, %1
        out dx, al
%endmacro

; The clock's battery-backed memory survives a reset, but not the emulator.
%macro only_once 0
        mov al, CMOS_SPARE
        out CMOS_INDEX, al
        in al, CMOS_DATA
        cmp al, DONE
        je .done
        mov al, CMOS_SPARE
        out CMOS_INDEX, al
        mov al, DONE
        out CMOS_DATA, al
        jmp .first
.done:
        halt_forever
.first:
%endmacro

%macro halt_forever 0
%%forever:
        hlt
        jmp %%forever
%endmacro

bits 16
org 0x7c00
start:
        cli
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7c00
        sti
        send 'B'
        mov cx, DELAY
.tick:
        hlt
        mov ax, [BIOS_TICKS]
.same:
        hlt
        cmp ax, [BIOS_TICKS]
        je .same
        loop .tick
        send 'G'

%if MODE == IDLE
        halt_forever

%elif MODE == HANG                      ; a hung kernel: halted, interrupts disabled
        cli
        halt_forever

%elif MODE == SPIN                      ; a busy kernel
.spin:
        jmp .spin

%elif MODE == PANIC
        only_once
        mov dx, PVPANIC
        mov al, 1
        out dx, al
        halt_forever

%elif MODE == CRASHLOAD                 ; panicked, booting its kdump kernel
        mov dx, PVPANIC
        mov al, 2
        out dx, al
        halt_forever

%elif MODE == POWEROFF_ONCE
        only_once
        mov dx, PM1_CONTROL
        mov ax, SLEEP_ENABLE
        out dx, ax
        halt_forever

%elif MODE == POWEROFF
        mov dx, PM1_CONTROL
        mov ax, SLEEP_ENABLE
        out dx, ax
        halt_forever

%elif MODE == S3
        mov dx, PM1_CONTROL
        mov ax, SLEEP_ENABLE | SLEEP_S3
        out dx, ax
        halt_forever

%elif MODE == S4
        mov dx, PM1_CONTROL
        mov ax, SLEEP_ENABLE | SLEEP_S4
        out dx, ax
        halt_forever

%elif MODE == POWERBUTTON               ; powers off on an ACPI power button event
        mov dx, PM1_ENABLE
        mov ax, POWER_BUTTON
        out dx, ax
        send 'R'
.listen:
        hlt
        mov dx, PM1_STATUS
        in ax, dx
        test ax, POWER_BUTTON
        jz .listen
        mov dx, PM1_CONTROL
        mov ax, SLEEP_ENABLE
        out dx, ax
        halt_forever

%elif MODE == REBOOT
        only_once
        mov dx, RESET_CONTROL
        mov al, 6
        out dx, al
        mov al, 0xfe
        out KEYBOARD, al
        halt_forever

%elif MODE == TRIPLEFAULT
        only_once
        cli
        lidt [nothing]
        int 3
        halt_forever

%elif MODE == WATCHDOG                  ; starts the ib700 with the shortest time-out
        only_once
        mov dx, IB700_START
        mov al, 0xf
        out dx, al
        halt_forever

%elif MODE == DIRTY                     ; rewrites 0x10000-0x8ffff forever: a migration never converges
        xor bx, bx
.round:
        inc bx
        mov dx, 0x1000
.segment:
        mov es, dx
        xor di, di
        mov ax, bx
        mov cx, 0x8000
.fill:
        stosw
        add ax, 0x6b43
        loop .fill
        add dx, 0x1000
        cmp dx, 0x9000
        jne .segment
        jmp .round

%elif MODE == WRITE                     ; writes one sector of the second disk every tick or two, each further on
.write:
        mov si, packet
        mov ah, 0x43
        mov al, 0
        mov dl, SECOND_DISK
        int 0x13
        jnc .written
        send 'E'
.written:
        send '.'
        add dword [packet + 8], 2048
        mov cx, 2
.pause:
        hlt
        loop .pause
        jmp .write
%endif

nothing: dw 0, 0, 0
packet: db 16, 0
        dw 1
        dw 0x8000, 0
        dd 16, 0
        times 510 - ($ - $$) db 0
        dw 0xaa55
