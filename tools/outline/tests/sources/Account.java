package com.example.bank;

import java.util.List;
import java.util.Map;

/** An account. */
@Entity
@Table(name = "accounts")
public final class Account extends Base implements Comparable<Account>, AutoCloseable {
    public static final int LIMIT = 100;
    private final Map<String, List<Entry>> entries = new HashMap<>();
    int a, b = 2;

    static {
        int local = 1;
    }

    public enum State {
        OPEN("o") {
            @Override
            boolean active() { return true; }
        },
        CLOSED("c");

        private final String code;

        State(String code) { this.code = code; }

        boolean active() { return false; }
    }

    public record Entry(long amount, String text) {
        public Entry {
            if (amount < 0) throw new IllegalArgumentException();
        }

        static Entry of(long amount) { return new Entry(amount, ""); }
    }

    public Account(String owner) throws InvalidOwner {
        this(owner, 0);
    }

    @Override
    @SuppressWarnings("unchecked")
    public int compareTo(Account other) {
        class Local {}
        return 0;
    }

    protected <T extends Entry & Comparable<T>> List<T> sorted(
            @NotNull List<T> list, // in any order
            boolean ascending) {
        Runnable run = new Runnable() {
            public void run() {}
        };
        return list;
    }

    abstract static class Inner<T> {
        abstract T make();
    }
}

sealed interface Shape permits Circle, Square {
    double PI = 3.14;

    double area();

    default String name() {
        return getClass().getName();
    }
}

@interface Audited {
    String value() default "";
}
