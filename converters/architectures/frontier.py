"""CNNs since 2019, and those that everything is measured against, as torchvision and timm call them.

Those with attention in their last stages are among them; networks of attention alone are not.
"""

from __future__ import annotations

# By the year that they were published in; of each the smallest that people use on phones.
SOURCES = (
    # 2016 to 2018: what is measured against
    "torchvision:squeezenet1_1", "torchvision:mobilenet_v2", "torchvision:shufflenet_v2_x0_5",
    # 2019
    "torchvision:mobilenet_v3_small", "torchvision:mobilenet_v3_large", "torchvision:mnasnet0_5",
    "torchvision:efficientnet_b0",
    # 2020
    "timm:efficientnet_lite0", "timm:ghostnet_100", "timm:tinynet_e", "timm:rexnet_100",
    "torchvision:regnet_y_400mf",
    # 2021
    "timm:lcnet_050", "timm:hardcorenas_a", "timm:mobilevit_xxs", "timm:levit_128s",
    # 2022
    "timm:mobileone_s0", "timm:edgenext_xx_small", "timm:ghostnetv2_100", "timm:efficientformerv2_s0",
    # 2023
    "timm:repvit_m1", "timm:fastvit_t8", "timm:convnextv2_atto", "timm:efficientvit_b0",
    # 2024
    "timm:mobilenetv4_conv_small", "timm:mobilenetv4_conv_medium", "timm:starnet_s1",
)  # fmt: skip
