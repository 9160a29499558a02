;; Answers a list of a hundred million numbers, each of which would be a value of the host's.
(component
    (core module $m
        (memory (export "memory") 2048)
        (data (i32.const 0) "\10\00\00\00\00\e1\f5\05")
        (func (export "f") (result i32) i32.const 0))
    (core instance $i (instantiate $m))
    (func (export "go") (result (list u8)) (canon lift (core func $i "f") (memory $i "memory"))))
