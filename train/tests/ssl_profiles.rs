//! The profiles of the three sizes build the models they name.
#![cfg(feature = "burn")]

use burn::backend::Flex;
use burn::module::Module;
use burn::tensor::Tensor;
use rad_dino_edge::scan::Limits;
use rad_dino_train::data::loader::Films;
use rad_dino_train::pretrain::{Config, start};

#[test]
fn profiles_build_their_models() {
    for (text, width, heads, parameters) in [
        (include_str!("../configs/vit-tiny.toml"), 192, 3, 5_506_176),
        (include_str!("../configs/vit-small-continue.toml"), 384, 6, 21_629_184),
        (include_str!("../configs/vit-base-continue.toml"), 768, 12, 85_725_696),
    ] {
        let config = Config::parse(text).unwrap();
        let backbone = start::backbone(&config, None).unwrap();
        let shape = &backbone.weights.config;
        assert_eq!((shape.hidden_size, shape.num_attention_heads, shape.num_hidden_layers), (width, heads, 12));
        assert_eq!((shape.patch_size, shape.image_size), (14, 224));
        let none = Films { places: Default::default(), limits: Limits::default() };
        let device = Default::default();
        let network = start::network::<Flex>(&config, &backbone, None, &none, &device, &|_| ()).unwrap();
        assert_eq!(network.encoder.num_params(), parameters, "{width}");
        assert_eq!(network.ibot_head.is_some(), config.head.separate);
        assert_eq!(network.dino_head.last_layer.weight_v.dims(), [config.head.prototypes, config.head.bottleneck]);
        let side = config.crops.local_size;
        let tokens = network.encoder.forward(Tensor::zeros([1, 3, side, side], &device), None, None).unwrap();
        assert_eq!(tokens.dims(), [1, 1 + (side / 14) * (side / 14), width]);
    }
}
