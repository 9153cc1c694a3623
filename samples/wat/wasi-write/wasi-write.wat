;; The smallest program there is: one line on standard output, by calling WASI's fd_write itself.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit"
    (func $proc_exit (param i32)))
  (memory (export "memory") 1)

  ;; One iovec (where the text begins, how long it is), room for the number of bytes written, and the text.
  (data (i32.const 0) "\0c\00\00\00\19\00\00\00")
  (data (i32.const 12) "Hello from WASI, in text\n")

  (func $start (export "_start")
    (call $fd_write
      (i32.const 1)     ;; stdout
      (i32.const 0)     ;; the iovecs
      (i32.const 1)     ;; how many there are
      (i32.const 8))    ;; where the number of bytes written goes
    (if (then (call $proc_exit (i32.const 1))))))
