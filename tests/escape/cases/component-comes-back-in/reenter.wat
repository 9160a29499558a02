;; Logs where the host asks it for room.
(component
    (import "gloaming:tool/log@0.1.0" (instance $log (export "log" (func (param "message" string)))))
    (core module $memory (memory (export "memory") 1))
    (core instance $memory (instantiate $memory))
    (core func $log (canon lower (func $log "log") (memory $memory "memory")))
    (core module $m
        (import "host" "log" (func $log (param i32 i32)))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (call $log (i32.const 0) (i32.const 1))
            i32.const 16)
        (func (export "f") (param i32 i32) (result i32) i32.const 7))
    (core instance $i (instantiate $m (with "host" (instance (export "log" (func $log))))))
    (func (export "go") (param "path" string) (result u32)
        (canon lift (core func $i "f") (memory $memory "memory") (realloc (func $i "realloc")))))
