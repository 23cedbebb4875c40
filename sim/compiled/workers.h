// SPDX-License-Identifier: Apache-2.0
// Threads that share the parts of a cycle; with one thread the caller does all, and nothing is started.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

// `run(n, part)` calls part(0) ... part(n - 1), each once, and returns when all have returned. Threads wait by spinning: a
// phase of the clock is shorter than the time that the system takes to wake one. They sleep after `pause()`.
class Workers {
    using Part = void (*)(void*, uint32_t);
    static constexpr uint32_t kTurns = 1000;
    std::vector<std::thread> m_threads;
    Part m_part = nullptr;
    void* m_argument = nullptr;
    uint32_t m_n = 0;
    std::atomic<uint32_t> m_next{0};     // part that nobody has taken yet
    std::atomic<uint32_t> m_working{0};  // threads that may still take one
    std::atomic<uint64_t> m_round{0};
    std::atomic<bool> m_ends{false}, m_pauses{true};

public:
    ~Workers() { set_threads(1); }

    void set_threads(unsigned n_threads) {
        m_ends = true;
        wake();
        for (auto& thread : m_threads) thread.join();
        m_threads.clear();
        m_ends = false;
        m_pauses = true;
        const uint64_t round = m_round;
        for (unsigned i = 1; i < n_threads; ++i) m_threads.emplace_back([this, round] { work(round); });
    }

    void pause() { m_pauses = true; }

    template <typename Body>
    void run(uint32_t n, Body body) {
        if (m_threads.empty()) {
            for (uint32_t i = 0; i < n; ++i) body(i);
            return;
        }
        m_part = [](void* argument, uint32_t i) { (*static_cast<Body*>(argument))(i); };
        m_argument = &body;
        m_n = n;
        m_next = 0;
        m_working = m_threads.size();
        wake();
        take_parts();
        for (uint32_t turns = 0; m_working.load(std::memory_order_acquire);) spin(turns);
    }

private:
    static void spin(uint32_t& turns) {
        // Somebody else may need this processor to come to an end.
        if (++turns > kTurns) return std::this_thread::yield();
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }

    void wake() {
        ++m_round;
        if (m_pauses.exchange(false)) m_round.notify_all();
    }

    void take_parts() {
        for (uint32_t i; (i = m_next.fetch_add(1)) < m_n;) m_part(m_argument, i);
    }

    void work(uint64_t seen) {
        for (;;) {
            uint64_t round;
            uint32_t turns = 0;
            while ((round = m_round.load(std::memory_order_acquire)) == seen) {
                if (m_pauses)
                    m_round.wait(seen);
                else
                    spin(turns);
            }
            seen = round;
            if (m_ends) return;
            take_parts();
            m_working.fetch_sub(1, std::memory_order_release);
        }
    }
};
