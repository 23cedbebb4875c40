// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <memory>

#include "axi.h"
#include "chip.h"
#include "recorder.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#endif
#if SAVABLE
#include "verilated_save.h"
#endif

static constexpr int kNoAnswer = 16;

struct Sim {
    VerilatedContext context;
    std::unique_ptr<ChipModel> chip;
    HostModel host;
    DramModel memories[N_MEMORIES];  // the DRAM channels, and behind them the host's memory, if there is a port to it
    Recorder recorder;
    uint64_t cycle = 0;
#if VM_TRACE_FST
    std::unique_ptr<VerilatedFstC> trace;
    uint64_t trace_from = 0, trace_to = 0;
#endif

    void dump(uint64_t time) {
#if VM_TRACE_FST
        if (trace && trace_from <= cycle && cycle <= trace_to) trace->dump(time);
#else
        (void)time;
#endif
    }

    void clock() {
        Verilated::threadContextp(&context);
        Vtop& top = chip->top;
        host.drive(top);
#define DRIVE_MEMORY(name) memories[Memory_##name].drive(cycle), Port_##name::show(top, memories[Memory_##name].pins);
        MEMORIES(DRIVE_MEMORY)
#undef DRIVE_MEMORY
        chip->fall();
        dump(2 * cycle);
        host.sample(top);
#define SAMPLE_MEMORY(name) Port_##name::look(top, memories[Memory_##name].pins), memories[Memory_##name].sample(cycle);
        MEMORIES(SAMPLE_MEMORY)
#undef SAMPLE_MEMORY
        if (recorder.on) recorder.sample(top, cycle);
        chip->rise();
        dump(2 * cycle + 1);
        ++cycle;
        context.timeInc(2);
    }

    // No access takes as long as this; a chip that hangs must not hang its user.
    static constexpr uint64_t kPatience = 200'000;

    void finish_host() {
        for (uint64_t i = 0; host.busy() && i < kPatience; ++i) clock();
        if (host.busy()) host.give_up(kNoAnswer);
        chip->pause();
    }

    // Cuts an access into bursts that stay inside 4 KiB. `start(first beat's address, bytes before the data, size, done)`
    // begins one, `end(bytes before the data, size, done)` follows when it is over.
    template <typename Start, typename End>
    int bursts(uint64_t address, uint64_t n_bytes, Start start, End end) {
        for (uint64_t done = 0; done < n_bytes;) {
            const uint64_t here = address + done;
            const unsigned first = here % HostModel::kBus;
            const uint64_t room = std::min<uint64_t>(4096 - here % 4096, 256ull * HostModel::kBus - first);
            const unsigned size = std::min<uint64_t>(n_bytes - done, room);
            start(here - first, first, size, done);
            finish_host();
            if (host.response()) return host.response();
            end(first, size, done);
            done += size;
        }
        return 0;
    }
};

static unsigned bus_size() {
    unsigned log2 = 0;
    while ((1u << log2) < HostModel::kBus) ++log2;
    return log2;
}

Sim* sim_create(uint64_t seed) {
    auto* sim = new Sim;
    sim->context.randSeed(static_cast<int>(seed & 0x7fffffff));
    sim->context.randReset(2);
#if VM_TRACE_FST
    sim->context.traceEverOn(true);
#endif
    sim->chip = std::make_unique<ChipModel>(&sim->context);
    sim->chip->top.rst = 1;
    for (int i = 0; i < 8; ++i) sim->clock();
    sim->chip->top.rst = 0;
    sim->clock();
    return sim;
}

void sim_destroy(Sim* sim) {
#if VM_TRACE_FST
    if (sim->trace) sim->trace->close();
#endif
    // Verilator remembers the context made last, which may be gone.
    Verilated::threadContextp(&sim->context);
    sim->chip->final();
    delete sim;
}

static DramTiming timing_of(const SimDramTiming* timing) {
    DramTiming wanted;
    wanted.latency = timing->latency;
    if (timing->bytes_per_1024_cycles) wanted.rate = timing->bytes_per_1024_cycles;
    wanted.banks = timing->banks;
    wanted.row_bytes = timing->row_bytes;
    wanted.activate = timing->activate;
    wanted.precharge = timing->precharge;
    wanted.refresh_every = timing->refresh_every;
    wanted.refresh_takes = timing->refresh_takes;
    wanted.turnaround = timing->turnaround;
    wanted.jitter = timing->jitter;
    return wanted;
}

void sim_dram_timing(Sim* sim, const SimDramTiming* timing) {
    for (unsigned i = 0; i < N_CHANNELS; ++i) sim->memories[i].set_timing(timing_of(timing));
}

void sim_host_pauses(Sim* sim, uint32_t share) { sim->host.set_pauses(share); }

int sim_host_write(Sim* sim, uint64_t address, const uint8_t* data, uint64_t n_bytes) {
    return sim->bursts(
        address, n_bytes,
        [&](uint64_t at, unsigned first, unsigned size, uint64_t done) {
            sim->host.start_write(at, bus_size(), data + done, first, size);
        },
        [](unsigned, unsigned, uint64_t) {});
}

int sim_host_read(Sim* sim, uint64_t address, uint8_t* data, uint64_t n_bytes) {
    return sim->bursts(
        address, n_bytes,
        [&](uint64_t at, unsigned first, unsigned size, uint64_t) {
            sim->host.start_read(at, bus_size(), first, size);
        },
        [&](unsigned first, unsigned size, uint64_t done) {
            std::memcpy(data + done, sim->host.data() + first, size);
        });
}

int sim_register_write(Sim* sim, uint64_t address, uint32_t value) {
    const unsigned first = address % HostModel::kBus;
    sim->host.start_write(address, 2, reinterpret_cast<const uint8_t*>(&value), first, 4);
    sim->finish_host();
    return sim->host.response();
}

int sim_register_read(Sim* sim, uint64_t address, uint32_t* value) {
    const unsigned first = address % HostModel::kBus;
    sim->host.start_read(address, 2, first, 4);
    sim->finish_host();
    std::memcpy(value, sim->host.data() + first, 4);
    return sim->host.response();
}

// Calls `access(channel, offset in it, bytes done, size)` for each line of an extent of DRAM. Lines are dealt to channels as
// hw/arch/interleave.py says: by the exclusive or of all groups of bits of the line's number in the address map.
template <typename Access>
static void dram_lines(Sim* sim, uint64_t offset, uint64_t n_bytes, Access access) {
    constexpr uint64_t kLine = HOST_BYTES, kRegionLine = (1ull << 36) / kLine;
    unsigned bits = 0;
    while ((1u << bits) < N_CHANNELS) ++bits;
    for (uint64_t done = 0; done < n_bytes;) {
        const uint64_t line = (offset + done) / kLine, first = (offset + done) % kLine;
        const uint64_t size = std::min(n_bytes - done, kLine - first);
        unsigned channel = 0;
        for (uint64_t rest = line + kRegionLine; bits && rest; rest >>= bits) channel ^= rest & (N_CHANNELS - 1);
        access(sim->memories[channel].memory, (line >> bits) * kLine + first, done, size);
        done += size;
    }
}

void sim_dram_write(Sim* sim, uint64_t offset, const uint8_t* data, uint64_t n_bytes) {
    dram_lines(sim, offset, n_bytes, [&](SparseMemory& memory, uint64_t at, uint64_t done, uint64_t size) {
        memory.write(at, data + done, size);
    });
}

void sim_dram_read(Sim* sim, uint64_t offset, uint8_t* data, uint64_t n_bytes) {
    dram_lines(sim, offset, n_bytes, [&](SparseMemory& memory, uint64_t at, uint64_t done, uint64_t size) {
        memory.read(at, data + done, size);
    });
}

#if N_MEMORIES > N_CHANNELS
void sim_host_memory_write(Sim* sim, uint64_t address, const uint8_t* data, uint64_t n_bytes) {
    sim->memories[Memory_host_memory].memory.write(address, data, n_bytes);
}
void sim_host_memory_read(Sim* sim, uint64_t address, uint8_t* data, uint64_t n_bytes) {
    sim->memories[Memory_host_memory].memory.read(address, data, n_bytes);
}
void sim_host_memory_timing(Sim* sim, const SimDramTiming* timing) {
    sim->memories[Memory_host_memory].set_timing(timing_of(timing));
}
#else
void sim_host_memory_write(Sim*, uint64_t, const uint8_t*, uint64_t) {}
void sim_host_memory_read(Sim*, uint64_t, uint8_t* data, uint64_t n_bytes) { std::memset(data, 0, n_bytes); }
void sim_host_memory_timing(Sim*, const SimDramTiming*) {}
#endif

int sim_run(Sim* sim, uint64_t n_cycles) {
    const Vtop& top = sim->chip->top;
    for (uint64_t i = 0; i < n_cycles && !top.irq; ++i) sim->clock();
    sim->chip->pause();
    return top.irq;
}

void sim_threads(Sim* sim, unsigned n_threads) { sim->chip->set_threads(n_threads); }

uint64_t sim_cycles(const Sim* sim) { return sim->cycle; }

void sim_record(Sim* sim, int on) {
    if (on)
        sim->recorder.start();
    else
        sim->recorder.stop();
}

uint64_t sim_records(Sim* sim, SimRecord* records, uint64_t room) {
    return records ? sim->recorder.take(records, room) : sim->recorder.size();
}

#if SAVABLE
struct Saver {
    static constexpr bool kSaves = true;
    VerilatedSave& file;
    void bytes(const void* data, size_t n_bytes) { file.write(data, n_bytes); }
    template <typename Model>
    void model(Model& model) { file << model; }
};
struct Restorer {
    static constexpr bool kSaves = false;
    VerilatedRestore& file;
    void bytes(void* data, size_t n_bytes) { file.read(data, n_bytes); }
    template <typename Model>
    void model(Model& model) { file >> model; }
};

template <typename Archive>
static void sync_state(Sim* sim, Archive archive) {
    sim->chip->sync_state(archive);
    sim->host.sync_state(archive);
    for (auto& memory : sim->memories) memory.sync_state(archive);
    sync(archive, sim->cycle);
}

int sim_save(Sim* sim, const char* path) {
    VerilatedSave file;
    file.open(path);
    if (!file.isOpen()) return 1;
    sync_state(sim, Saver{file});
    return 0;
}

int sim_restore(Sim* sim, const char* path) {
    VerilatedRestore file;
    file.open(path);
    if (!file.isOpen()) return 1;
    sync_state(sim, Restorer{file});
    return 0;
}
#else
int sim_save(Sim*, const char*) { return 2; }
int sim_restore(Sim*, const char*) { return 2; }
#endif

int sim_trace(Sim* sim, const char* path, const char* scope, uint64_t from, uint64_t to) {
#if VM_TRACE_FST
    sim->trace = std::make_unique<VerilatedFstC>();
    const std::string full = ChipModel::trace_path(scope);
    if (!full.empty()) sim->trace->dumpvars(99, full);  // the caller knows that there is such an instance
    sim->chip->add_trace(sim->trace.get(), scope);
    sim->trace->open(path);
    sim->trace_from = from;
    sim->trace_to = to;
    return sim->trace->isOpen() ? 0 : 1;
#else
    (void)sim, (void)path, (void)scope, (void)from, (void)to;
    return 1;
#endif
}
