;; Begins where the memory ends.
(component
    (import "gloaming:tool/log@0.1.0" (instance $log (export "log" (func (param "message" string)))))
    (core module $memory (memory (export "memory") 1) (data (i32.const 0) "\ff\fe\2e\2e\2f"))
    (core instance $memory (instantiate $memory))
    (core func $log (canon lower (func $log "log") (memory $memory "memory")))
    (core module $m
        (import "host" "log" (func $log (param i32 i32)))
        (func (export "f") (result i32)
            (call $log (i32.const 65536) (i32.const 16))
            i32.const 7))
    (core instance $i (instantiate $m (with "host" (instance (export "log" (func $log))))))
    (func (export "go") (result u32) (canon lift (core func $i "f"))))
